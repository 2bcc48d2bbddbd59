"""The `everline` command, and the whole stack on one machine."""
