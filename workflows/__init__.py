"""The story of a session from start to end, deterministic; read `session.py` first."""
