"""The phases of a migration, in order."""

from rehost.stacks.migrate.move import Phase
from rehost.stacks.migrate.phases.cutover import Cutover
from rehost.stacks.migrate.phases.preflight import Preflight
from rehost.stacks.migrate.phases.prove import Prove
from rehost.stacks.migrate.phases.provision import Provision
from rehost.stacks.migrate.phases.replicate import Replicate
from rehost.stacks.migrate.phases.verify import Verify

PHASES: tuple[Phase, ...] = (Preflight(), Provision(), Replicate(), Verify(), Cutover(), Prove())
NAMES = tuple(phase.name for phase in PHASES)

__all__ = ["NAMES", "PHASES", "Preflight"]
