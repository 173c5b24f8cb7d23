"""Movers: each copies one kind of data and proves it."""
