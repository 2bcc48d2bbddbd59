"""LiveKit behind the ports: rooms, tokens, webhooks, listeners."""
