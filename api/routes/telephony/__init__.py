"""Phone numbers, providers and calls. Nothing yet."""
