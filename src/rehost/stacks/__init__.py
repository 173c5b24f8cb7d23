"""The pure core: knows no provider and imports no provider's SDK."""
