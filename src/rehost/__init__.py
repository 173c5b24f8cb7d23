"""rehost: describe a platform once, redeploy it on another cloud with its data."""

__version__ = "0.1.0"
