"""Adapters: one folder for each provider."""
