"""A real stack under test: its client, its callers, and everything it promised."""
