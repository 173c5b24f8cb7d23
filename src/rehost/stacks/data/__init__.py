"""Movers: how data gets from one place to another, and how it is proven that it did."""
