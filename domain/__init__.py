"""What a session, an agent configuration and a transcript are: pure models, rules and ports.

Nothing here does I/O, reads a clock or knows a framework; every other folder builds on this one.
"""
