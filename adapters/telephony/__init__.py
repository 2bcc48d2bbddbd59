"""Carriers of phone calls. Nothing yet."""
