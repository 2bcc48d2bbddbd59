"""Tests mirror the folders; `e2e`, `chaos` and `replay` look at the whole."""
