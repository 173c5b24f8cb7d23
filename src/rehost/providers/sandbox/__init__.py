"""Stand-ins on loopback for the providers' control planes."""
