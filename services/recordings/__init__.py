"""Report the state of recordings."""
