"""The process that hosts the workflows and their activities."""
