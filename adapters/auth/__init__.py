"""Whom API keys speak for: Pagos, or keys of this installation."""
