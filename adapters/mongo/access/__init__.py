"""API keys, slots and the audit log in MongoDB."""
