"""A certificate authority that speaks ACME (RFC 8555), with renewal information (RFC 9773) and proofs through DNS.

As strict as the real ones: every signature, nonce and URL is checked, proofs and CAA records are looked up in the
DNS, orders go through their states, and certificate requests have to fit their orders. What it does otherwise than
usual is set by `behave`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from josepy.errors import Error as JoseError
from josepy.jwk import JWK
from werkzeug.wrappers import Request, Response

from rehost.providers.sandbox.internet.issuing import Issuer, Signer, names_of
from rehost.stacks.acme.caa import judge
from rehost.stacks.acme.names import Names
from rehost.stacks.errors import ProviderError

IDENTITIES = frozenset({"ca.sandbox", "letsencrypt.org"})
"""Who it is in CAA records: it stands in for the authority that a stack has by itself."""
_ALGORITHMS = {"RS256", "ES256", "ES384"}
_LIFETIME = timedelta(days=7)
_OPEN = ("pending", "ready", "processing")
Handler = Callable[["Authority", "Signed", str], Response]


class Problem(Exception):
    """An answer with an error (RFC 7807)."""

    def __init__(self, status: int, kind: str, detail: str, **more: Any) -> None:
        super().__init__(detail)
        self.status, self.headers = status, more.pop("headers", {})
        self.body = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status, **more}


@dataclass
class Behaviour:
    """`lifetime_days` and `age_days` (how long ago it seems to have been issued) of new certificates; `bad_nonces`
    and `rate_limits` (with `retry_after` seconds) are so many answers of that kind to come; `renew_now` asks for
    every certificate to be renewed; `slow` has seconds by kind of request (`new-order`), which pass after its
    effect and before its answer; `external` maps key ids to HMAC keys (base64url) and makes one necessary; with
    `listing` accounts list their orders."""

    lifetime_days: float = 90
    age_days: float = 0
    bad_nonces: int = 0
    rate_limits: int = 0
    retry_after: int = 0
    renew_now: bool = False
    listing: bool = True
    slow: dict[str, float] = field(default_factory=dict)
    external: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Signed:
    """A request whose signature fits: the account's id (empty for a new one), its key, and what was sent."""

    account: str
    key: JWK
    payload: Mapping[str, Any] | None
    raw: Mapping[str, Any]


class Authority:
    """The WSGI application. What it knows is JSON in `path`, where there is one; `above` is its root, or else it
    makes one."""

    def __init__(self, names: Names, path: Path | None = None, above: Signer | None = None) -> None:
        self.names, self._path = names, path
        self.behaviour = Behaviour()
        self._lock = threading.RLock()
        self._nonces: set[str] = set()
        self.calls: Counter[str] = Counter()
        """Requests that were carried out, by kind."""
        kept = json.loads(path.read_text()) if path is not None and path.exists() else {}
        self._issuer = Issuer(kept.get("keys"), above)
        self._records: dict[str, dict[str, Any]] = kept.get("records") or {
            kind: {} for kind in ("accounts", "orders", "authorizations", "certificates")
        }
        self._keep()

    def _keep(self) -> None:
        if self._path is not None:
            text = json.dumps({"keys": self._issuer.kept(), "records": self._records})
            fresh = self._path.with_suffix(".new")
            fresh.write_text(text)
            fresh.replace(self._path)

    @property
    def root(self) -> str:
        """The certificate that its chains end in, in PEM."""
        return self._issuer.root

    def behave(self, **changes: Any) -> None:
        """Set fields of Behaviour. Raises ValueError for one that it has not."""
        strange = sorted(changes.keys() - Behaviour.__dataclass_fields__.keys())
        if strange:
            raise ValueError(f"there is no {strange[0]!r}; there are {', '.join(Behaviour.__dataclass_fields__)}")
        for name, value in changes.items():
            setattr(self.behaviour, name, value)

    def inventory(self) -> dict[str, Any]:
        """How many there are of each kind, and orders by their state."""
        with self._lock:
            states = [self._order(id_)["status"] for id_ in self._records["orders"]]
            counts = {kind: len(rows) for kind, rows in self._records.items()}
        return {
            **counts,
            "calls": dict(self.calls),
            "order_states": {state: states.count(state) for state in sorted(set(states))},
        }

    # -- requests -------------------------------------------------------------------------------------------

    def __call__(self, environ: Any, start_response: Any) -> Iterable[bytes]:
        request = Request(environ)
        base = request.host_url.rstrip("/")
        try:
            response = self._routed(request, base)
        except Problem as problem:
            response = Response(json.dumps(problem.body), problem.status, content_type="application/problem+json")
            for name, value in problem.headers.items():
                response.headers[name] = value
        response.headers["Cache-Control"] = "no-store"
        if request.method in ("POST", "HEAD"):
            response.headers["Replay-Nonce"] = self._nonce()
        response.headers.add("Link", f'<{base}/directory>;rel="index"')
        return response(environ, start_response)

    def _nonce(self) -> str:
        nonce = secrets.token_urlsafe(16)
        with self._lock:
            self._nonces.add(nonce)
        return nonce

    def _routed(self, request: Request, base: str) -> Response:
        kind, _, id_ = request.path.strip("/").partition("/")
        if request.path == "/directory":
            return _json(200, self._directory(base))
        if kind == "new-nonce":
            return Response(status=200 if request.method == "HEAD" else 204)
        if kind == "renewal-info" and request.method == "GET":
            return self._renewal(id_)
        handler = _HANDLERS.get(kind)
        if handler is None:
            raise Problem(404, "malformed", f"there is nothing at {request.path}")
        if request.method != "POST":
            raise Problem(405, "malformed", "only POST is taken here")
        with self._lock:
            signed = self._signed(request, new=kind == "new-account")
            response = handler(self, signed, f"{base} {id_}")
            self._keep()
            self.calls[kind] += 1
        if self.behaviour.slow.get(kind):
            time.sleep(self.behaviour.slow[kind])
        return response

    def _directory(self, base: str) -> dict[str, Any]:
        return {
            "newNonce": f"{base}/new-nonce",
            "newAccount": f"{base}/new-account",
            "newOrder": f"{base}/new-order",
            "revokeCert": f"{base}/revoke-cert",
            "renewalInfo": f"{base}/renewal-info",
            "meta": {
                "termsOfService": f"{base}/terms",
                "caaIdentities": sorted(IDENTITIES),
                "externalAccountRequired": bool(self.behaviour.external),
            },
        }

    def _signed(self, request: Request, *, new: bool) -> Signed:
        if request.content_type != "application/jose+json":
            raise Problem(415, "malformed", "the content type is application/jose+json")
        try:
            sent = json.loads(request.get_data())
            header = json.loads(_decoded(sent["protected"]))
            raw = _decoded(sent["payload"])
            payload = json.loads(raw) if raw else None
        except (ValueError, KeyError, TypeError):
            raise Problem(400, "malformed", "the body is no flattened JWS") from None
        if header.get("alg") not in _ALGORITHMS:
            raise Problem(400, "badSignatureAlgorithm", "not this algorithm", algorithms=sorted(_ALGORITHMS))
        if header.get("url") != request.url:
            raise Problem(403, "unauthorized", f"it was signed for {header.get('url')}, not for {request.url}")
        if header.get("nonce") not in self._nonces or self._spoiled():
            raise Problem(400, "badNonce", "this nonce is not good (any more)")
        self._nonces.discard(header["nonce"])
        if ("jwk" in header) == ("kid" in header) or ("jwk" in header) != new:
            raise Problem(400, "malformed", "a new account shows its key, all others name their account")
        account = "" if new else header["kid"].rpartition("/")[2]
        if not new and self._records["accounts"].get(account, {}).get("status") != "valid":
            raise Problem(401 if account else 400, "accountDoesNotExist", "this account is not known")
        try:
            key: Any = JWK.from_json(header["jwk"] if new else self._records["accounts"][account]["key"])
            good = _verified(key, header["alg"], f"{sent['protected']}.{sent['payload']}", sent["signature"])
        except (JoseError, KeyError, ValueError, TypeError):
            good = False
        if not good:
            raise Problem(403, "unauthorized", "the signature does not fit the key")
        return Signed(account, key, payload, header)

    def _spoiled(self) -> bool:
        if self.behaviour.bad_nonces:
            self.behaviour.bad_nonces -= 1
            return True
        return False

    # -- accounts -------------------------------------------------------------------------------------------

    def new_account(self, signed: Signed, where: str) -> Response:
        base, payload = where.partition(" ")[0], signed.payload or {}
        id_ = _thumbprint(signed.key)
        found = self._records["accounts"].get(id_)
        if found is None:
            if payload.get("onlyReturnExisting"):
                raise Problem(400, "accountDoesNotExist", "there is no account with this key")
            if not payload.get("termsOfServiceAgreed"):
                raise Problem(403, "userActionRequired", f"the terms have to be agreed to: {base}/terms")
            self._bound(signed, payload)
            contact = list(payload.get("contact") or ())
            if any(not address.startswith("mailto:") for address in contact):
                raise Problem(400, "unsupportedContact", "only mailto: is taken")
            made = {"status": "valid", "key": signed.key.to_partial_json(), "contact": contact}
            self._records["accounts"][id_] = made
        response = self._account_shown(base, id_, 200 if found else 201)
        response.headers["Location"] = f"{base}/account/{id_}"
        return response

    def _bound(self, signed: Signed, payload: Mapping[str, Any]) -> None:
        if not self.behaviour.external:
            return
        given = payload.get("externalAccountBinding")
        if not given:
            raise Problem(403, "externalAccountRequired", "only customers of this authority have accounts")
        import hmac

        header = json.loads(_decoded(given["protected"]))
        key = self.behaviour.external.get(header.get("kid", ""))
        text = f"{given['protected']}.{given['payload']}".encode()
        fits = key is not None and hmac.compare_digest(
            hmac.new(_decoded(key), text, hashlib.sha256).digest(), _decoded(given["signature"])
        )
        same = JWK.from_json(json.loads(_decoded(given["payload"]))) == signed.key
        if not fits or not same or header.get("alg") != "HS256" or header.get("url") != signed.raw["url"]:
            raise Problem(403, "unauthorized", "the external account binding does not fit")

    def _account_shown(self, base: str, id_: str, status: int = 200) -> Response:
        account = self._records["accounts"][id_]
        shown = {"status": account["status"], "contact": account["contact"]}
        if self.behaviour.listing:
            shown["orders"] = f"{base}/orders/{id_}"
        return _json(status, shown)

    def account(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        self._own(signed, id_)
        for name in ("contact", "status"):
            if signed.payload and name in signed.payload:
                self._records["accounts"][id_][name] = signed.payload[name]
        return self._account_shown(base, id_)

    def _own(self, signed: Signed, account: str) -> None:
        if signed.account != account:
            raise Problem(403, "unauthorized", "this belongs to another account")

    def orders(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        self._own(signed, id_)
        found = [k for k, order in self._records["orders"].items() if order["account"] == id_]
        return _json(200, {"orders": [f"{base}/order/{k}" for k in found if self._order(k)["status"] in _OPEN]})

    # -- orders ---------------------------------------------------------------------------------------------

    def new_order(self, signed: Signed, where: str) -> Response:
        base = where.partition(" ")[0]
        if self.behaviour.rate_limits:
            self.behaviour.rate_limits -= 1
            after = self.behaviour.retry_after
            detail = "too many certificates have been issued for these names"
            raise Problem(429, "rateLimited", detail, headers={"Retry-After": str(after)} if after else {})
        identifiers = (signed.payload or {}).get("identifiers") or []
        if not identifiers or any(item.get("type") != "dns" for item in identifiers):
            raise Problem(400, "malformed", "an order is for names in the DNS")
        names = sorted({item["value"].lower() for item in identifiers})
        for name in names:
            if "." not in name.removeprefix("*.") or "*" in name.removeprefix("*."):
                raise Problem(400, "rejectedIdentifier", f"no certificate can be issued for {name}")
        expires = _stamp(datetime.now(UTC) + _LIFETIME)
        made = []
        for name in names:
            token = secrets.token_urlsafe(32)
            fresh = {"domain": name, "token": token, "status": "pending", "account": signed.account, "error": None}
            id_ = secrets.token_hex(8)
            self._records["authorizations"][id_] = {**fresh, "expires": expires, "challenge": "pending"}
            made.append(id_)
        id_ = secrets.token_hex(8)
        self._records["orders"][id_] = {
            "account": signed.account,
            "names": names,
            "authorizations": made,
            "status": "pending",
            "expires": expires,
            "error": None,
            "certificate": "",
        }
        response = self._order_shown(base, id_, 201)
        response.headers["Location"] = f"{base}/order/{id_}"
        return response

    def _order(self, id_: str) -> dict[str, Any]:
        """An order, its state as its proofs have it now."""
        order: dict[str, Any] | None = self._records["orders"].get(id_)
        if order is None:
            raise Problem(404, "malformed", "there is no such order")
        states = {self._records["authorizations"][one]["status"] for one in order["authorizations"]}
        if order["status"] == "pending" and states == {"valid"}:
            order["status"] = "ready"
        late = order["status"] in _OPEN and _stamp(datetime.now(UTC)) > order["expires"]
        if late or (order["status"] == "pending" and states & {"invalid", "deactivated", "expired"}):
            order["status"] = "invalid"
        return order

    def _order_shown(self, base: str, id_: str, status: int = 200) -> Response:
        order = self._order(id_)
        shown = {
            "status": order["status"],
            "expires": order["expires"],
            "identifiers": [{"type": "dns", "value": name} for name in order["names"]],
            "authorizations": [f"{base}/authorization/{one}" for one in order["authorizations"]],
            "finalize": f"{base}/finalize/{id_}",
        }
        if order["certificate"]:
            shown["certificate"] = f"{base}/certificate/{order['certificate']}"
        if order["error"]:
            shown["error"] = order["error"]
        return _json(status, shown)

    def order(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        self._own(signed, self._order(id_)["account"])
        return self._order_shown(base, id_)

    def _authorization(self, signed: Signed, id_: str) -> dict[str, Any]:
        found: dict[str, Any] | None = self._records["authorizations"].get(id_)
        if found is None:
            raise Problem(404, "malformed", "there is no such authorization")
        self._own(signed, found["account"])
        return found

    def authorization(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        found = self._authorization(signed, id_)
        if signed.payload and signed.payload.get("status") == "deactivated":
            found["status"] = "deactivated"
        name = found["domain"]
        shown: dict[str, Any] = {
            "identifier": {"type": "dns", "value": name.removeprefix("*.")},
            "status": found["status"],
            "expires": found["expires"],
            "challenges": [self._challenge_shown(base, id_)],
        }
        if name.startswith("*."):
            shown["wildcard"] = True
        return _json(200, shown)

    def _challenge_shown(self, base: str, id_: str) -> dict[str, Any]:
        found = self._records["authorizations"][id_]
        shown = {
            "type": "dns-01",
            "url": f"{base}/challenge/{id_}",
            "token": found["token"],
            "status": found["challenge"],
        }
        return {**shown, "error": found["error"]} if found["error"] else shown

    def challenge(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        found = self._authorization(signed, id_)
        if signed.payload is not None and found["challenge"] == "pending" and found["status"] == "pending":
            found["challenge"] = "processing"
            threading.Thread(target=self._validate, args=(id_, signed), daemon=True).start()
        response = _json(200, self._challenge_shown(base, id_))
        response.headers.add("Link", f'<{base}/authorization/{id_}>;rel="up"')
        return response

    def _validate(self, id_: str, signed: Signed) -> None:
        """Look the proof up, then the CAA records, as the world sees them."""
        found = self._records["authorizations"][id_]
        error = self._against(found, signed)
        with self._lock:
            found["error"] = error
            found["status"] = found["challenge"] = "invalid" if error else "valid"
            self._keep()

    def _against(self, found: Mapping[str, Any], signed: Signed) -> dict[str, Any] | None:
        base = found["domain"].removeprefix("*.")
        text = f"{found['token']}.{_thumbprint(signed.key)}"
        wanted = base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip("=")
        try:
            seen = self.names.found(f"_acme-challenge.{base}")
            if wanted not in seen:
                told = f"found {sorted(seen)}" if seen else "found none"
                return Problem(403, "unauthorized", f"no TXT record at _acme-challenge.{base} fits: {told}").body
            account = f"{signed.raw['kid']}"
            verdict = judge(found["domain"], self.names.caa(found["domain"]), IDENTITIES, account)
        except ProviderError as error:
            return Problem(400, "dns", f"{error.summary}: {error.why}").body
        if not verdict.allowed:
            return Problem(403, "caa", f"{verdict.record} forbids it: {verdict.why}").body
        return None

    def finalize(self, signed: Signed, where: str) -> Response:
        base, _, id_ = where.partition(" ")
        order = self._order(id_)
        self._own(signed, order["account"])
        if order["status"] != "ready":
            raise Problem(403, "orderNotReady", f"the order is {order['status']}")
        try:
            request = x509.load_der_x509_csr(_decoded((signed.payload or {})["csr"]))
            names = names_of(request)
        except (ValueError, KeyError) as error:
            raise Problem(400, "badCSR", f"this is no certificate request: {error}") from None
        if not request.is_signature_valid or names != order["names"]:
            raise Problem(
                400, "badCSR", f"it is for {', '.join(names)}, the order for {', '.join(order['names'])}"
            )
        begin = datetime.now(UTC) - timedelta(days=self.behaviour.age_days)
        end = begin + timedelta(days=self.behaviour.lifetime_days)
        chain, key = self._issuer.issue(request, names, begin, end)
        self._records["certificates"][key] = {
            "account": order["account"],
            "chain": chain,
            "begin": _stamp(begin),
            "end": _stamp(end),
            "revoked": False,
        }
        order |= {"status": "valid", "certificate": key}
        return self._order_shown(base, id_)

    def certificate(self, signed: Signed, where: str) -> Response:
        found = self._records["certificates"].get(where.partition(" ")[2])
        if found is None:
            raise Problem(404, "malformed", "there is no such certificate")
        self._own(signed, found["account"])
        return Response(found["chain"], 200, content_type="application/pem-certificate-chain")

    def revoke(self, signed: Signed, where: str) -> Response:
        del where
        certificate = x509.load_der_x509_certificate(_decoded((signed.payload or {})["certificate"]))
        found = self._records["certificates"].get(self._issuer.key_of(certificate))
        if found is None or found["account"] != signed.account:
            raise Problem(403, "unauthorized", "this account did not order that certificate")
        if found["revoked"]:
            raise Problem(400, "alreadyRevoked", "it is revoked already")
        found["revoked"] = True
        return Response(status=200)

    def _renewal(self, id_: str) -> Response:
        found = self._records["certificates"].get(id_)
        if found is None:
            raise Problem(404, "malformed", "there is no such certificate")
        begin, end = (datetime.fromisoformat(found[side]) for side in ("begin", "end"))
        if self.behaviour.renew_now or found["revoked"]:
            window = [datetime.now(UTC) - timedelta(days=2), datetime.now(UTC) - timedelta(days=1)]
        else:
            window = [end - (end - begin) / 3, end - (end - begin) / 3 + timedelta(days=1)]
        start, stop = map(_stamp, window)
        response = _json(200, {"suggestedWindow": {"start": start, "end": stop}})
        response.headers["Retry-After"] = "21600"
        return response


_HANDLERS: dict[str, Handler] = {
    "new-account": Authority.new_account,
    "account": Authority.account,
    "orders": Authority.orders,
    "new-order": Authority.new_order,
    "order": Authority.order,
    "authorization": Authority.authorization,
    "challenge": Authority.challenge,
    "finalize": Authority.finalize,
    "certificate": Authority.certificate,
    "revoke-cert": Authority.revoke,
}


def _verified(key: JWK, algorithm: str, text: str, signature: str) -> bool:
    from josepy.jwa import JWASignature

    kind = JWASignature.from_json(algorithm)
    return bool(kind.verify(key.public_key().key, text.encode(), _decoded(signature)))


def _thumbprint(key: JWK) -> str:
    return base64.urlsafe_b64encode(key.thumbprint()).decode().rstrip("=")


def _decoded(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _stamp(time: datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _json(status: int, body: Any) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")
