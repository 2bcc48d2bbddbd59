"""What a recording of a call is."""
