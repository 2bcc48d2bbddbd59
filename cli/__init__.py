"""The `everline` command: one module per noun."""
