"""What customers are told: endpoints, events, deliveries, signatures."""
