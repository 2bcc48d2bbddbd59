"""Temporal behind the ports: client, encryption, sessions, lists."""
