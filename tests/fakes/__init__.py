"""Servers that speak a real protocol and keep what they were told."""
