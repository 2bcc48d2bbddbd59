"""The chat model of the stack: a rule-based dialogue that answers what it heard. Pure, no I/O."""
