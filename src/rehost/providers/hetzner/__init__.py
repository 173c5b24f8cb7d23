"""Hetzner Cloud and Hetzner Object Storage."""
