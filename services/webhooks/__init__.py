"""Manage endpoints, announce events and deliver them."""
