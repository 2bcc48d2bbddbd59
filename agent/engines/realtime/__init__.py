"""Realtime models: the engine, and what differs between the providers."""
