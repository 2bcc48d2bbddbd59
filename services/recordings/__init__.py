"""Say what is known of recordings."""
