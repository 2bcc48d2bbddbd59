"""Saved agents and the catalogs of what can be configured."""
