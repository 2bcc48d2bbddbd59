"""Webhook endpoints and deliveries in MongoDB."""
