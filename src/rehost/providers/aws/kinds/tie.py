"""The life of kinds that only tie others together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from rehost.providers.aws.kinds.common import Served, gone_is_fine
from rehost.providers.base import described
from rehost.providers.botoerrors import guarded
from rehost.stacks.graph import Value
from rehost.stacks.ports import Call, Known, Live


class Tie(Served):
    """The life of a kind that only ties others together: no tags, and a natural key that its inputs hold.

    Subclasses look up many keys at once.
    """

    service = "ec2"

    def keyed(self, id_: str) -> dict[str, Value]:
        """The inputs that an import id holds. Raises ValueError for an id of another form."""
        raise AssertionError(f"{self.token} does not say what {id_} holds")

    def look(self, wanted: Sequence[Mapping[str, Value]]) -> list[Live | None]:
        """What there is for each of the inputs, with all properties as inputs and outputs."""
        raise AssertionError(f"{self.token} does not say how {len(wanted)} are read")

    def read(self, known: Sequence[Known]) -> Sequence[Live | None]:
        """What there is, as far as it was asked for; all of it where it is imported."""
        found = self.look([item.inputs or self.keyed(item.id) for item in known])
        return [live and self.shown(item.inputs, live) for item, live in zip(known, found, strict=True)]

    def shown(self, asked: Mapping[str, Value], live: Live) -> Live:
        """A tie with the inputs that it was asked with, or those of an import."""
        inputs = described(self.rules, asked, live.outputs)
        return Live(live.id, inputs if asked else self.imported(inputs), live.outputs)

    def imported(self, inputs: dict[str, Value]) -> dict[str, Value]:
        """The inputs of an import, without what the provider chose or what follows from the others."""
        return inputs

    def find(self, inputs: Mapping[str, Value]) -> Live | None:
        """By the natural key."""
        return self.read([Known("", "", inputs, {})])[0]

    def appeared(
        self, call: Call, inputs: Mapping[str, Value], ready: Callable[[Live], bool] = lambda live: True
    ) -> Live:
        """Wait until it is seen, and as it should be."""
        seen: list[Live] = []

        def there() -> bool:
            live = self.find(inputs)
            if live is not None and ready(live):
                seen.append(live)
            return bool(seen)

        call.poll(there, f"the {self.rules.title}")
        return seen[-1]

    def update(self, call: Call, known: Known, inputs: Mapping[str, Value]) -> Live:
        """Nothing changes in place, unless the kind says so."""
        del known
        return self.appeared(call, inputs)

    def delete(self, call: Call, known: Known) -> None:
        """Untie; gone already is fine."""
        with gone_is_fine(), guarded("delete"):
            self.remove(call, known)

    def remove(self, call: Call, known: Known) -> None:
        """The call that deletes."""
        del call
        raise AssertionError(f"{self.token} does not say how {known.id} is deleted")
