"""The phases of a migration, in order."""

from rehost.stacks.migrate.move import Move, Phase
from rehost.stacks.migrate.phases.cutover import Cutover
from rehost.stacks.migrate.phases.delta import Delta
from rehost.stacks.migrate.phases.freeze import Freeze
from rehost.stacks.migrate.phases.preflight import Preflight
from rehost.stacks.migrate.phases.prove import Prove
from rehost.stacks.migrate.phases.provision import Provision
from rehost.stacks.migrate.phases.replicate import Replicate
from rehost.stacks.migrate.phases.verify import Verify

PHASES: tuple[Phase, ...] = (
    Preflight(),
    Provision(),
    Replicate(),
    Verify(),
    Freeze(),
    Delta(),
    Cutover(),
    Prove(),
)
NAMES = tuple(phase.name for phase in PHASES)
LIVE = frozenset({"freeze", "delta"})
"""Phases of moves in which something runs."""


def phases_of(move: Move) -> tuple[Phase, ...]:
    """The phases that this move goes through."""
    return tuple(phase for phase in PHASES if move.live or phase.name not in LIVE)


__all__ = ["NAMES", "PHASES", "Preflight", "phases_of"]
