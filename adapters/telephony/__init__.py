"""Telephony providers. Nothing yet."""
