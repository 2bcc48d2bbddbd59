"""What can be done with sessions, agents and calls: use cases over the ports of `domain`."""
