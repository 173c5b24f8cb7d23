"""The move of a stack from one target to another, as a journaled state machine."""
