"""The steps of a session's story, one module per step; ports come in through the constructor."""
