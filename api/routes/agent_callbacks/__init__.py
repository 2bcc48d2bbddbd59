"""What agents and agent servers call back: claims, turns, reports, heartbeats."""
