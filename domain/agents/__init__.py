"""What an agent is: its configuration, the catalogs, and the servers that run it."""
