"""The workflows, deterministic: a session (read `session.py` first), and what outlives one."""
