"""The parts of a session's workflow; `workflows/session.py` puts them together."""
