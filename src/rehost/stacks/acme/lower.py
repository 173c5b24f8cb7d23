"""A certificate with `issuer: acme` to its order and itself, the same for all providers."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rehost.stacks.acme.resource import CERTIFICATE, ORDER
from rehost.stacks.graph import Ref, Resource, Value
from rehost.stacks.lower import REFERENCE, Lowering
from rehost.stacks.model import Acme, Certificate, Stack

ACCOUNT_KEY = "acme_account_key"


def key_name(certificate: str) -> str:
    """The secret that holds a certificate's key."""
    return f"certificates_{certificate}_key"


def on_servers_only(stack: Stack, certificate: str) -> bool:
    """Whether services are given a certificate and no load balancer has it: then the provider needs none of it."""
    listeners = (listener for balancer in stack.load_balancers.values() for listener in balancer.listen)
    asked = f"certificates.{certificate}.chain"
    texts = [text for service in stack.services.values() for text in service.environment.values()]
    given = any((m[1] or "").strip() == asked for text in texts for m in REFERENCE.finditer(text))
    return given and all(listener.certificate != certificate for listener in listeners)


@dataclass(frozen=True)
class Issued:
    """The resources, and what a provider's own certificate is made of: PEM texts, and a short text that differs
    with the certificate."""

    resources: tuple[Resource, ...]
    leaf: Value
    issuers: Value
    chain: Value
    key: Value
    suffix: Value


def issued(lowering: Lowering, name: str, wanted: Certificate, after: Iterable[str] = ()) -> Issued:
    """The parts of a certificate; `after` are URNs of what proofs are put into."""
    component = f"certificates.{name}"
    of = lowering.stack.acme or Acme()

    def text(given: str) -> Value:
        return lowering.text(given, lambda address: address)

    key = text(f"${{secrets.{key_name(name)}}}")
    external = of.external_account
    common: dict[str, Value] = {
        "domains": list(wanted.domains),
        "directory": of.directory,
        "email": of.email,
        "termsAgreed": of.terms_agreed,
        "accountKey": text(f"${{secrets.{ACCOUNT_KEY}}}"),
        "privateKey": key,
        "externalAccount": external and {"keyId": external.key_id, "hmacKey": text(external.hmac_key)},
    }
    order = lowering.resource(ORDER, name, common, component=component, after=after)
    made = {**common, "order": Ref(order.urn), "proofs": Ref(order.urn, "proofs")}
    certificate = lowering.resource(CERTIFICATE, name, made, component=component, after=after)

    def part(path: str) -> Ref:
        return Ref(certificate.urn, path)

    return Issued(
        (order, certificate),
        part("certificatePem"),
        part("issuerPem"),
        part("chainPem"),
        key,
        part("suffix"),
    )
