"""Saved agents and heartbeats of agent servers in MongoDB."""
