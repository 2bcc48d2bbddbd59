"""Start, list and clean up sessions."""
