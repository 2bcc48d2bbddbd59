"""What a stack consists of: its parts, ports, keys and configuration, and its home folder."""
