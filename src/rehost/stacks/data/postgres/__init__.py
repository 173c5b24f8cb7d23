"""The PostgreSQL mover: one database to another server while it is written to.

A publication and one slot at the source hold every change from the beginning. Tables, and ranges of large ones,
are
copied side by side, each from a snapshot of its own. Changes are read in the order of their commits and applied by
us: one that a range's snapshot saw already is skipped, by its transaction's number, so that every range is exact
and joins the stream by itself. What was applied is written down in the same transaction at the destination.

Read `catalog.py`, `units.py`, `stream.py`, `batch.py`, `router.py`, `copying.py`, `verify.py`, `mover.py`.
"""
