"""Resources to components, the inverse of lowering: `lower(lift(lower(s))) == lower(s)`.

`items` has what is lifted, `draft` what becomes of it, `texts` and `services` the inverses that are the same for
all providers, `settle` compares a draft's own lowering with what is there: nothing that differs is passed over.
"""

from rehost.stacks.lift.draft import Draft, Left, LiftJob, Note
from rehost.stacks.lift.items import Item, Items, graph_items
from rehost.stacks.lift.settle import Lifted, lift

__all__ = ["Draft", "Item", "Items", "Left", "LiftJob", "Lifted", "Note", "graph_items", "lift"]
