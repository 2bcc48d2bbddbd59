"""Phone calls: onboarding of carriers, inbound and outbound calls, batches. Nothing yet."""
