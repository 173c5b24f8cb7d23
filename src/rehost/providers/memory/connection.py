"""The live half of the in-memory provider."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from rehost.providers.base import KindDispatch, RuleBook, described
from rehost.providers.memory.cloud import MemoryCloud
from rehost.providers.memory.objects import MemoryObjects
from rehost.stacks.errors import ProviderError, Reason
from rehost.stacks.graph import Value
from rehost.stacks.hosts import resource as unit
from rehost.stacks.ports import Call, Candidate, Identity, KindRules, Known, Live, Need
from rehost.stacks.sql import role
from rehost.stacks.sql.port import Place, SqlSession
from rehost.stacks.sql.reach import Reach


class MemoryKind:
    """Resources of one type, which the cloud keeps as records."""

    def __init__(self, cloud: MemoryCloud, rules: KindRules) -> None:
        self._cloud = cloud
        self._rules = rules
        self._token = rules.token

    def create(self, call: Call, inputs: Mapping[str, Value]) -> Live:
        """Make a record."""
        record = self._cloud.create(self._token, inputs, unique=self._rules.identity == "name")
        call.made(record["id"])
        return self._live(inputs, record)

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """Records in one call."""
        records = self._cloud.read(self._token, [item.id for item in known])
        return [
            None if record is None else self._live(item.inputs, record)
            for item, record in zip(known, records, strict=True)
        ]

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """The record with our mark."""
        record = self._cloud.find(self._token, (inputs.get("tags") or {}).get("rehost-id"), inputs.get("name"))
        return None if record is None else self._live(inputs, record)

    def marked(self, inputs: Mapping[str, Value]) -> list[Live]:
        """All records with our mark."""
        records = self._cloud.marked(self._token, (inputs.get("tags") or {}).get("rehost-id"))
        return [self._live(inputs, record) for record in records]

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Change a record."""
        del call
        return self._live(inputs, self._cloud.update(self._token, known.id, inputs))

    def delete(self, call: Call, known: Known) -> None:
        """Remove a record; gone already is fine."""
        del call
        try:
            self._cloud.delete(self._token, known.id)
        except ProviderError as error:
            if error.reason is not Reason.NOT_FOUND:
                raise

    def _live(self, asked: Mapping[str, Value], record: Mapping[str, Any]) -> Live:
        number = record["number"]
        outputs = {
            **record["inputs"],
            "publicIp": f"203.0.{number // 250 % 250}.{number % 250 + 1}",
            "privateIp": f"10.0.{number // 250 % 250}.{number % 250 + 1}",
        }
        return Live(record["id"], described(self._rules, asked, record["inputs"]), outputs)


class MemoryConnection(KindDispatch):
    """Calls a MemoryCloud, in this process or through a proxy of one."""

    def __init__(self, cloud: MemoryCloud, book: RuleBook, denied: bool = False) -> None:
        self._cloud = cloud
        self._denied = denied
        records = {token: MemoryKind(cloud, book.rules(token)) for token in book.tokens()}
        self.kinds = {**records, unit.TOKEN: unit.UnitKind(cloud.host), role.TOKEN: role.RoleKind(self.sql)}

    @contextmanager
    def sql(self, place: Place) -> Iterator[SqlSession]:
        """A session of a database of this process."""
        with self._cloud.database(place.holder).open(place) as session:
            yield session

    def way(self, place: Place) -> AbstractContextManager[tuple[str, int]]:
        """Databases of this process listen nowhere; a real one may stand for one of them."""
        return Reach(self._cloud.ways).way(place)

    def identify(self, deployment: str) -> Identity:
        """The cloud's account."""
        del deployment
        if self._denied:
            raise ProviderError("the token is not valid", reason=Reason.DENIED, code="unauthorized", status=401)
        return Identity("memory", self._cloud.account)

    def offers(self, need: Need) -> Sequence[Candidate] | None:
        """Everything is in the catalog."""
        del need
        return None

    def objects(self, bucket: Mapping[str, Value]) -> MemoryObjects:
        """The content of a bucket."""
        return MemoryObjects(self._cloud.buckets.setdefault(str(bucket["name"]), {}))

    def close(self) -> None:
        """Nothing is held."""
