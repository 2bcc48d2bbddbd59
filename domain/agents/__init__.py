"""Agents: configuration, catalogs, and the servers that run them."""
