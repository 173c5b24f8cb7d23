"""The neutral component types a stack is made of."""
