"""What is kept of a call: turns, reports, summaries, usage, and how long."""
