"""Measurements of Everline, each beside its baseline in the same run; start at `__main__.py`."""
