"""The `everline` command: one module per verb."""
