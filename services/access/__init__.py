"""Quotas of sessions and rates of requests."""
