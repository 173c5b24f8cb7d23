"""What is issued, in graph and state: `rehost:acme/order:Order` and `rehost:acme/certificate:Certificate`.

An order has an intent in the journal and its URL in state before anything else happens: whoever goes on after a
kill or a wait goes on with that one. It is placed anew (replaced) when its certificate is to be renewed, which its
read tells as `due`, an input that nobody asked for. The certificate carries an order out: puts the proofs into the
DNS, waits until every name server shows them, has them looked at, fetches the chain and takes the proofs away; it
keeps what it has until it has something newer.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from rehost.stacks.acme import caa
from rehost.stacks.acme.client import Account, Order
from rehost.stacks.acme.desk import Desk, Place, left_to_people
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live

ORDER = "rehost:acme/order:Order"
CERTIFICATE = "rehost:acme/certificate:Certificate"
RULES = Path(__file__).parent / "data" / "kinds.json"
RENEW_SHARE = 1 / 3
"""When so much of its lifetime is left a certificate is renewed, unless the authority asks for it earlier."""
_PEM = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

Accounts = Callable[[Mapping[str, Value]], Account]


class OrderKind:
    """An order at the authority; its id is its URL."""

    def __init__(self, accounts: Accounts, desk: Desk, now: Callable[[], float]) -> None:
        self._accounts, self._desk, self._now = accounts, desk, now

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Place it, once no CAA record forbids it."""
        account = self._accounts(inputs)
        self._permitted(account, inputs["domains"])
        url = account.order(inputs["domains"])
        call.made(url)
        return _ordered(account.look(url), inputs)

    def _permitted(self, account: Account, domains: Sequence[str]) -> None:
        for domain in domains:
            verdict = caa.judge(domain, self._desk.names.caa(domain), account.identities, account.url)
            if not verdict.allowed:
                raise ProviderError(
                    f"no certificate for {domain}: {verdict.record} forbids it",
                    reason=Reason.DENIED,
                    operation="caa",
                    why=verdict.why,
                    fix=_allowance(domain, account.identities),
                )

    def find(self, inputs: Mapping[str, Value], besides: frozenset[str] = frozenset()) -> Live | None:
        """An open order for the same names, where the authority lists what an account has ordered."""
        account = self._accounts(inputs)
        open_ = [url for url in account.open_orders(inputs["domains"]) if url not in besides]
        return _ordered(account.look(open_[0]), inputs) if open_ else None

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """Orders as they are: None for what the authority gave up or does not know any more. A finished one says
        when its certificate is due."""
        found: list[Live | None] = []
        for item in known:
            if not item.inputs:
                raise ValueError(f"{item.id}: an order can't be imported")
            found.append(self._read(item))
        return found

    def _read(self, item: Known) -> Live | None:
        asked = {key: value for key, value in item.inputs.items() if key != "due"}
        account = self._accounts(asked)
        outputs = dict(item.outputs)
        if outputs.get("status") != "valid":
            try:
                order = account.look(item.id)
            except ProviderError as error:
                if error.status == 404 or error.reason in (Reason.NOT_FOUND, Reason.INVALID, Reason.DENIED):
                    return None
                if not outputs:
                    raise
                return Live(item.id, asked, outputs)
            if order.status == "invalid":
                return None
            outputs = {**outputs, **_outputs(order)}
            if order.status == "valid":
                outputs["leaf"] = _parts(account.certificate(item.id))[0]
        due = self._due(account, str(outputs.get("leaf", "")))
        return Live(item.id, {**asked, **({"due": due} if due else {})}, outputs)

    def _due(self, account: Account, leaf: str) -> str:
        """Since when and why it is to be renewed, empty before."""
        if not leaf:
            return ""
        now = datetime.fromtimestamp(self._now(), UTC)
        begin, end = _span(leaf)
        third = end - timedelta(seconds=(end - begin).total_seconds() * RENEW_SHARE)
        if now >= third:
            return (
                f"due since {third:%Y-%m-%d}: a third of its lifetime or less is left, it ends on {end:%Y-%m-%d}"
            )
        with contextlib.suppress(ProviderError, KeyError, ValueError):
            asked = account.suggested(leaf, now)
            if asked is not None and now >= asked:
                return f"due since {asked:%Y-%m-%d}: the authority asks for it, it ends on {end:%Y-%m-%d}"
        return ""

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Tell the authority a new address of the account."""
        del call
        if known.inputs.get("email") != inputs.get("email"):
            self._accounts(inputs).renew_contact()
        return Live(known.id, dict(inputs), dict(known.outputs))

    def delete(self, call: Call, known: Known) -> None:
        """Take its proofs out of the DNS, and give up what is still open. An authority that does not answer keeps
        nobody from going."""
        for text, name in _texts(known.outputs):
            with _tolerated():
                self._desk.drop(call, self._desk.place(name), text)
        if known.outputs.get("status") == "valid":
            return
        with contextlib.suppress(ProviderError):
            account = self._accounts(known.inputs)
            for proof in account.look(known.id).proofs:
                if proof.status in ("pending", "valid"):
                    account.withdraw(proof)


class CertificateKind:
    """The certificate of an order; its id is the order's URL."""

    def __init__(self, accounts: Accounts, desk: Desk) -> None:
        self._accounts, self._desk = accounts, desk

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Carry the order out, and leave no proof in the DNS, whatever happens."""
        account, url = self._accounts(inputs), str(inputs["order"])
        try:
            order = account.look(url)
            if order.status == "pending":
                self._prove(call, account, order)
                order = self._settled(call, account, url, ("ready", "processing", "valid"), "proven")
            if order.status == "ready":
                account.finish(url, _request(str(inputs["privateKey"]), inputs["domains"]))
            self._settled(call, account, url, ("valid",), "issued")
            chain = account.certificate(url)
        finally:
            self._clear(call, inputs)
        return _issued(url, inputs, chain)

    def _settled(self, call: Call, account: Account, url: str, wanted: tuple[str, ...], word: str) -> Order:
        found: list[Order] = []

        def there() -> bool:
            order = account.look(url)
            if order.status == "invalid":
                raise order.problem or ProviderError("the order is lost", reason=Reason.FAILED)
            found[:] = [order]
            return order.status in wanted

        call.poll(there, f"the certificate to be {word}")
        return found[0]

    def _prove(self, call: Call, account: Account, order: Order) -> None:
        """Put the proofs up and have them looked at. Raises OperatorNeeded where a person has to put one up."""
        open_ = [proof for proof in order.proofs if proof.status == "pending"]
        places = {(proof.at, proof.text): self._desk.place(proof.at) for proof in open_}
        left = {
            key: place
            for key, place in places.items()
            if place.editor is None and (not place.authority.servers or self._desk.unseen(place, key[1]))
        }
        if left:
            raise left_to_people(left)
        for (_, text), place in places.items():
            if place.editor is not None:
                self._desk.put(call, place, text)
        call.poll(lambda: self._everywhere(places), "every name server to show the proofs")
        for proof in open_:
            account.answer(proof)
        call.poll(lambda: self._looked_at(account, order.url), "the authority to look at the proofs")

    def _everywhere(self, places: Mapping[tuple[str, str], Place]) -> bool:
        return not any(self._desk.unseen(place, text) for (_, text), place in places.items())

    def _looked_at(self, account: Account, url: str) -> bool:
        order = account.look(url)
        return order.status != "pending" or any(proof.status == "invalid" for proof in order.proofs)

    def _clear(self, call: Call, inputs: Mapping[str, Value]) -> None:
        for text, name in _texts(inputs):
            with _tolerated():
                self._desk.drop(call, self._desk.place(name), text)

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """What a lost answer made: the certificate of an order that is done."""
        account, url = self._accounts(inputs), str(inputs["order"])
        if account.look(url).status != "valid":
            return None
        return _issued(url, inputs, account.certificate(url))

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """Certificates do not change: what is in state is what there is."""
        found: list[Live | None] = []
        for item in known:
            if not item.inputs:
                raise ValueError(f"{item.id}: a certificate can't be imported")
            if item.outputs.get("certificatePem"):
                found.append(Live(item.id, dict(item.inputs), dict(item.outputs)))
            else:
                found.append(self.find(item.inputs))
        return found

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Carry the order of now out; proofs that an interrupted run left behind are taken away."""
        if known.outputs.get("certificatePem") and known.id == inputs["order"]:
            self._clear(call, inputs)
            return _issued(known.id, inputs, str(known.outputs["chainPem"]))
        return self.create(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        """Nothing is anywhere but in state; it is not revoked, as its successor may have the same key."""
        del call, known


def _ordered(order: Order, inputs: Mapping[str, Value]) -> Live:
    return Live(order.url, dict(inputs), {**inputs, "proofs": [], **_outputs(order)})


def _outputs(order: Order) -> dict[str, Value]:
    outputs: dict[str, Value] = {"url": order.url, "status": order.status, "expires": order.expires}
    if order.proofs:
        outputs["proofs"] = [{"domain": p.domain, "name": p.at, "text": p.text} for p in order.proofs]
    return outputs


def _texts(outputs: Mapping[str, Value]) -> Iterator[tuple[str, str]]:
    for proof in outputs.get("proofs") or ():
        yield str(proof["text"]), str(proof["name"])


def _issued(url: str, inputs: Mapping[str, Value], chain: str) -> Live:
    from cryptography import x509
    from cryptography.hazmat.primitives.hashes import SHA256

    leaf, *issuers = _parts(chain)
    begin, end = _span(leaf)
    fingerprint = x509.load_pem_x509_certificate(leaf.encode()).fingerprint(SHA256()).hex()
    outputs = {
        **inputs,
        "certificatePem": leaf,
        "issuerPem": "".join(issuers),
        "chainPem": leaf + "".join(issuers),
        "fingerprint": fingerprint,
        # For names at providers that have to differ from those of certificates before.
        "suffix": hashlib.sha256(fingerprint.encode()).hexdigest()[:8],
        "notBefore": f"{begin:%Y-%m-%dT%H:%M:%SZ}",
        "notAfter": f"{end:%Y-%m-%dT%H:%M:%SZ}",
    }
    return Live(url, dict(inputs), outputs)


def _parts(chain: str) -> list[str]:
    """The certificates of a chain, its own first, each ended by a new line."""
    found = [part.rstrip("\n") + "\n" for part in _PEM.findall(chain.replace("\r", ""))]
    if not found:
        raise ProviderError("the authority gave no certificate", reason=Reason.FAILED)
    return found


def _span(leaf: str) -> tuple[datetime, datetime]:
    from cryptography import x509

    parsed = x509.load_pem_x509_certificate(leaf.encode())
    return parsed.not_valid_before_utc, parsed.not_valid_after_utc


def _request(private_key: str, domains: Sequence[str]) -> bytes:
    from acme.crypto_util import make_csr

    made: bytes = make_csr(private_key.encode(), list(domains))
    return made


def _allowance(domain: str, identities: Any) -> str:
    name = sorted(identities)[0] if identities else "the authority"
    tag = "issuewild" if domain.startswith("*.") else "issue"
    return f'add a record that allows it: CAA 0 {tag} "{name}"'


@contextlib.contextmanager
def _tolerated() -> Iterator[None]:
    """A name that nobody answers for any more has no proof that could be taken away."""
    try:
        yield
    except ProviderError as error:
        if error.reason not in (Reason.UNAVAILABLE, Reason.NOT_FOUND):
            raise
