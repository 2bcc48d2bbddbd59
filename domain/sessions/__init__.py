"""What a session is: its life, its attempts, its messages, its room."""
