"""Carriers, numbers, phone calls and batches. Nothing yet."""
