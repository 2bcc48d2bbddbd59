"""API keys of this installation."""
