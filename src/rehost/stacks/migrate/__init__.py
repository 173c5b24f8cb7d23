"""The phases of a move as a journaled state machine."""
