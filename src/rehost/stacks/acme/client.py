"""One account at one certificate authority, over certbot's ACME library."""

from __future__ import annotations

import base64
import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any

from rehost.stacks.acme.errors import translated
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value

if TYPE_CHECKING:
    import acme.client
    import acme.messages
    from cryptography import x509
    from josepy.jwk import JWK

LETS_ENCRYPT = "https://acme-v02.api.letsencrypt.org/directory"
VARIABLE = "REHOST_ACME_DIRECTORY"
"""A directory in place of the stack's: that of a sandbox."""
_AGENT = "rehost"
_SECONDS = 30
_CHALLENGE = "_acme-challenge"


@dataclass(frozen=True)
class Proof:
    """A text that has to stand in the DNS for a domain; `at` is the record's name without its last dot."""

    domain: str
    at: str
    text: str
    status: str
    authorization: str


@dataclass(frozen=True)
class Order:
    """An order as the authority shows it. `status` is pending, ready, processing, valid or invalid."""

    url: str
    status: str
    domains: tuple[str, ...]
    proofs: tuple[Proof, ...]
    expires: str = ""
    problem: ProviderError | None = None


class Account:
    """Made from the inputs of an order or a certificate. All calls raise ProviderError."""

    def __init__(self, inputs: Mapping[str, Value], environment: Mapping[str, str]) -> None:
        self._inputs = inputs
        self._directory_url = environment.get(VARIABLE) or str(inputs["directory"])
        self._waited: float | None = None

    # -- the authority --------------------------------------------------------------------------------------

    @cached_property
    def _key(self) -> JWK:
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
        from josepy.jwk import JWKEC, JWKRSA

        try:
            loaded: Any = load_pem_private_key(str(self._inputs["accountKey"]).encode(), None)
        except (ValueError, TypeError):
            raise ProviderError("the account's key is no private key in PEM", reason=Reason.INVALID) from None
        return JWKEC(key=loaded) if hasattr(loaded, "curve") else JWKRSA(key=loaded)

    @cached_property
    def _client(self) -> acme.client.ClientV2:
        with translated("directory", lambda: self._waited):
            import acme.client
            from josepy.jwa import ES256, RS256

            kinds = {"RSA": RS256, "EC": ES256}
            net = acme.client.ClientNetwork(
                self._key, alg=kinds[self._key.typ], user_agent=_AGENT, timeout=_SECONDS
            )
            net.session.hooks["response"].append(self._note)
            return acme.client.ClientV2(acme.client.ClientV2.get_directory(self._directory_url, net), net)

    def _note(self, response: Any, *_: Any, **__: Any) -> None:
        """The library does not hand on how long an authority wants to be left alone."""
        said = response.headers.get("Retry-After", "")
        self._waited = float(said) if said.isdigit() else None

    def _guarded(self, operation: str) -> Any:
        return translated(operation, lambda: self._waited)

    @property
    def identities(self) -> Collection[str]:
        """Names of the authority in CAA records, none where it tells none."""
        meta = self._client.directory.to_partial_json().get("meta", {})
        meta = meta if isinstance(meta, dict) else meta.to_partial_json()
        return frozenset(str(name).lower() for name in meta.get("caaIdentities") or ())

    @cached_property
    def url(self) -> str:
        """The account's URL: that of before, or of one made now with the terms agreed to."""
        import acme.errors
        import acme.messages

        client = self._client
        if not self._inputs.get("termsAgreed"):
            raise ProviderError(
                "the terms of the certificate authority are not agreed to",
                reason=Reason.INVALID,
                why=f"{self._directory_url} asks for it",
                fix="read them, and set `terms_agreed: true` under `acme`",
            )
        new = acme.messages.NewRegistration.from_data(
            email=self._inputs.get("email") or None,
            terms_of_service_agreed=True,
            external_account_binding=self._binding(client),
        )
        with self._guarded("newAccount"):
            try:
                made = client.new_account(new)
            except acme.errors.ConflictError as found:
                made = acme.messages.RegistrationResource(
                    uri=found.location, body=acme.messages.Registration.from_json({})
                )
        client.net.account = made
        return str(made.uri)

    def _binding(self, client: acme.client.ClientV2) -> dict[str, Any] | None:
        import acme.messages

        given = self._inputs.get("externalAccount")
        if not given:
            if client.external_account_required():
                raise ProviderError(
                    "this certificate authority wants an account that it knows already",
                    reason=Reason.INVALID,
                    why=f"{self._directory_url} asks for an external account",
                    fix="ask it for a key id and an HMAC key, and give them as acme.external_account",
                )
            return None
        binding: dict[str, Any] = acme.messages.ExternalAccountBinding.from_data(
            account_public_key=self._key.public_key(),
            kid=str(given["keyId"]),
            hmac_key=str(given["hmacKey"]),
            directory=client.directory,
        )
        return binding

    def renew_contact(self) -> None:
        """Give the authority the e-mail address of the inputs."""
        import acme.messages

        url, client = self.url, self._client
        email = self._inputs.get("email")
        body = acme.messages.Registration(contact=(f"mailto:{email}",) if email else ())
        with self._guarded("account"):
            client.net.post(url, body, new_nonce_url=client.directory["newNonce"])

    def _post(self, url: str, body: Any = None, operation: str = "") -> Any:
        assert self.url, "whoever signs has an account"
        with self._guarded(operation or url):
            return self._client.net.post(url, body, new_nonce_url=self._client.directory["newNonce"])

    # -- orders ---------------------------------------------------------------------------------------------

    def order(self, domains: Sequence[str]) -> str:
        """Place an order; answers its URL."""
        import acme.messages

        names = [acme.messages.Identifier(typ=acme.messages.IDENTIFIER_FQDN, value=name) for name in domains]
        body = acme.messages.NewOrder(identifiers=names)
        response = self._post(self._client.directory["newOrder"], body, "newOrder")
        return str(response.headers["Location"])

    def open_orders(self, domains: Sequence[str]) -> list[str]:
        """Orders for just these domains that are neither done nor lost, where the authority lists them: few do
        (Let's Encrypt gives an open order again when the same one is placed)."""
        listed = self._post(self.url, operation="account").json().get("orders")
        found: list[str] = []
        while listed:
            try:
                page = self._post(listed, operation="orders")
            except ProviderError as error:
                if error.retryable:
                    raise
                break
            for url in page.json().get("orders", []):
                order = self.look(url)
                if sorted(order.domains) == sorted(domains) and order.status in ("pending", "ready", "processing"):
                    found.append(url)
            listed = page.links.get("next", {}).get("url")
        return found

    def look(self, url: str) -> Order:
        """An order with its proofs. Raises ProviderError(NOT_FOUND) for one that is not known (any more)."""
        body = self._post(url, operation="order").json()
        proofs = []
        if body["status"] in ("pending", "invalid"):
            proofs = [self._proof(link) for link in body["authorizations"]]
        problem = self._problem(body, proofs) if body["status"] == "invalid" else None
        return Order(
            url,
            body["status"],
            tuple(item["value"] for item in body["identifiers"]),
            tuple(proof for proof, _ in proofs),
            body.get("expires", ""),
            problem,
        )

    def _proof(self, link: str) -> tuple[Proof, Any]:
        import acme.challenges
        import acme.messages

        raw = self._post(link, operation="authorization").json()
        body = acme.messages.Authorization.from_json(raw)
        domain = str(body.identifier.value)
        for challenge in body.challenges:
            if isinstance(challenge.chall, acme.challenges.DNS01):
                at = str(challenge.chall.validation_domain_name(domain))
                text = str(challenge.chall.validation(self._key))
                wild = "*." if raw.get("wildcard") else ""
                return Proof(wild + domain, at, text, str(body.status.name), link), challenge
        raise ProviderError(f"the authority has no proof through DNS for {domain}", reason=Reason.INVALID)

    def _problem(self, body: Any, proofs: Sequence[tuple[Proof, Any]]) -> ProviderError | None:
        import acme.messages

        from rehost.stacks.acme.errors import told

        errors = [(proof.domain, challenge.error) for proof, challenge in proofs if challenge.error is not None]
        if not errors and body.get("error"):
            errors = [(", ".join(item["value"] for item in body["identifiers"]), body["error"])]
        for domain, given in errors:
            error = given if isinstance(given, acme.messages.Error) else acme.messages.Error.from_json(given)
            found = told(error, "challenge")
            found.args = (f"{domain}: {found.summary}",)
            found.summary = f"{domain}: {found.summary}"
            return found
        return None

    def answer(self, proof: Proof) -> None:
        """Say that a proof can be looked at."""
        _, challenge = self._proof(proof.authorization)
        with self._guarded("challenge"):
            self._client.answer_challenge(challenge, challenge.chall.response(self._key))

    def withdraw(self, proof: Proof) -> None:
        """Give an open proof up, so that it does not count as one that is waited for."""
        import acme.messages

        self._post(proof.authorization, acme.messages.UpdateAuthorization(status="deactivated"), "authorization")

    def finish(self, url: str, request: bytes) -> None:
        """Have the certificate of an order made, for a request in PEM."""
        import acme.messages
        from cryptography import x509

        where = self._post(url, operation="order").json()["finalize"]
        body = acme.messages.CertificateRequest(csr=x509.load_pem_x509_csr(request))
        self._post(where, body, "finalize")

    def certificate(self, url: str) -> str:
        """The chain of a finished order, in PEM."""
        body = self._post(url, operation="order").json()
        response = self._post(body["certificate"], operation="certificate")
        return str(response.text)

    def suggested(self, leaf: str, now: datetime) -> datetime | None:
        """When the authority would have a certificate renewed (RFC 9773): the middle of the span that it names,
        None where it names none."""
        from cryptography import x509

        parsed = x509.load_pem_x509_certificate(leaf.encode())
        if parsed.not_valid_after_utc <= now:
            return None
        with self._guarded("renewalInfo"):
            base = self._client.directory.to_partial_json().get("renewalInfo")
            if not base:
                return None
            answer = self._client.net.get(f"{base}/{renewal_id(parsed)}")
            span = json.loads(answer.text)["suggestedWindow"]
        start, end = (datetime.fromisoformat(span[side]).astimezone(UTC) for side in ("start", "end"))
        return start + timedelta(seconds=(end - start).total_seconds() / 2)


def renewal_id(certificate: x509.Certificate) -> str:
    """What a certificate is called when its renewal is asked about (RFC 9773, section 4.1)."""
    from cryptography import x509

    issuer = (
        certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier or b""
    )
    serial = certificate.serial_number.to_bytes(certificate.serial_number.bit_length() // 8 + 1, "big")
    return ".".join(base64.urlsafe_b64encode(part).decode().rstrip("=") for part in (issuer, serial))
