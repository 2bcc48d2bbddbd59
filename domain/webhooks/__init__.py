"""Webhooks to customers: endpoints, events, deliveries, signatures."""
