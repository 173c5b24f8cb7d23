"""Values back to texts with `${...}`. What a value stands for is found by asking the lowering itself what each
address would give."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from rehost.stacks.graph import Join, Ref, Secret, Value, is_unknown
from rehost.stacks.lift.draft import Draft
from rehost.stacks.lower import Lowering
from rehost.stacks.model import Stack
from rehost.stacks.references import ATTRIBUTES

_OPENS = re.compile(r"\$(?=[${]|\Z)")
"""A dollar sign that would begin something, in its own text or with what comes behind it."""


def escaped(text: str) -> str:
    """Text that stands for itself."""
    return _OPENS.sub("$$", text)


class Texts:
    """The inverse of `Lowering.text` for one draft."""

    def __init__(
        self,
        draft: Draft,
        lowering: Lowering,
        export: Callable[[str], Value],
        claims: Mapping[tuple[str, str], str] | None = None,
    ) -> None:
        self._draft = draft
        self._claims = {lowering.urn(type_, name): key for (type_, name), key in (claims or draft.claims).items()}
        self._addresses: dict[Value, str] = {}
        for address in _addresses(lowering.stack, lowering.texts, lowering.secrets):
            try:
                value = lowering.text(f"${{{address}}}", export)
            except (KeyError, IndexError):
                continue
            if not isinstance(value, list | dict) and not is_unknown(value):
                self._addresses.setdefault(self._here(value), address)

    def _here(self, value: Value) -> Value:
        """A value with its references led to the items that are lifted."""
        match value:
            case Ref():
                return Ref(self._claims.get(value.urn, value.urn), value.path)
            case Join(parts):
                return Join(tuple(self._here(part) for part in parts))
        return value

    def text(self, value: Value, hint: str = "secret") -> str:
        """The text that would be lowered to this value. Secrets that nobody knows become secrets that are read
        from the environment, named by `hint`."""
        if isinstance(value, str):
            return escaped(value)
        if isinstance(value, bool | int | float):
            return str(value)
        address = self._addresses.get(value) if isinstance(value, Ref | Join | Secret) else None
        if address is not None:
            family, _, name = address.partition(".")
            if family == "secrets":
                self._draft.secret(name.removesuffix(".quoted"))
            return f"${{{address}}}"
        if isinstance(value, Join):
            return "".join(self.text(part, hint) for part in value.parts)
        return self._draft.secret(hint)


def _addresses(stack: Stack, texts: Mapping[str, str], secrets: Mapping[str, Value]) -> Iterator[str]:
    for name in secrets:
        yield f"secrets.{name}"
    for name in secrets:
        yield f"secrets.{name}.quoted"
    for family, attributes in ATTRIBUTES.items():
        if family == "secrets":
            continue
        names = list(getattr(stack, family))
        if family == "servers":
            names += [member for group, server in stack.servers.items() for member in server.members(group)]
        for name in names:
            yield from (f"{family}.{name}.{attribute}" for attribute in attributes)
    yield from texts
