"""Databases as SQL sees them: a small port, with PostgreSQL and memory behind it, and roles as resources."""
