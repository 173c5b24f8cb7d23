"""Carrying a plan out: scheduler, retries, journaled intents, typed events."""
