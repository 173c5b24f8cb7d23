"""Amazon's APIs on loopback: moto, made as strict and as slow to agree as the real ones."""
