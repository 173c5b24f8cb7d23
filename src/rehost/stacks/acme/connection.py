"""A connection that carries certificates out beside what its provider has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rehost.stacks.acme.client import Account
from rehost.stacks.acme.desk import Desk, Elsewhere
from rehost.stacks.acme.names import Names
from rehost.stacks.acme.resource import CERTIFICATE, ORDER, CertificateKind, OrderKind
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Connection, Known, Live


class WithCertificates:
    """Orders and certificates here, everything else there."""

    def __init__(
        self,
        inner: Connection,
        environment: Mapping[str, str],
        others: Sequence[Elsewhere],
        now: Callable[[], float],
    ) -> None:
        self._inner = inner
        self._desk = Desk(Names.of(environment), inner, others)

        def account(inputs: Mapping[str, Value]) -> Account:
            return Account(inputs, environment)

        self._kinds: Mapping[str, OrderKind | CertificateKind] = {
            ORDER: OrderKind(account, self._desk, now),
            CERTIFICATE: CertificateKind(account, self._desk),
        }

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def create(self, call: Call, token: str, inputs: Mapping[str, Value]) -> Live:
        """Make the resource."""
        kind = self._kinds.get(token)
        return kind.create(call, inputs) if kind else self._inner.create(call, token, inputs)

    def read(self, token: str, known: Sequence[Known]) -> Sequence[Live | None]:
        """The resources as they are."""
        kind = self._kinds.get(token)
        return kind.read(known) if kind else self._inner.read(token, known)

    def find(self, token: str, inputs: Mapping[str, Value], besides: frozenset[str] = frozenset()) -> Live | None:
        """What an earlier create made."""
        match self._kinds.get(token):
            case OrderKind() as orders:
                return orders.find(inputs, besides)
            case CertificateKind() as certificates:
                return certificates.find(inputs)
        return self._inner.find(token, inputs, besides)

    def update(self, call: Call, token: str, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change the resource in place."""
        kind = self._kinds.get(token)
        return kind.update(call, known, inputs) if kind else self._inner.update(call, token, known, inputs)

    def delete(self, call: Call, token: str, known: Known) -> None:
        """Remove the resource."""
        kind = self._kinds.get(token)
        if kind:
            kind.delete(call, known)
        else:
            self._inner.delete(call, token, known)

    def close(self) -> None:
        """Give back what this and the provider's connection hold."""
        self._desk.close()
        self._inner.close()
