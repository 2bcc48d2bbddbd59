"""Resolution of API keys: by Pagos, or by this installation's own keys."""
