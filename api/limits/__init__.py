"""Limits of what clients, known or not, can take: connections, bodies, unknown keys."""
