"""What a deployment owns: Pulumi deployment JSON, stores, lock, journal, secrets."""
