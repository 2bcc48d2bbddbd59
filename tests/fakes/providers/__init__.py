"""Providers of a pipeline's models over the wire: HTTP, server-sent events and WebSockets."""
