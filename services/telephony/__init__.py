"""Phone calls: routing, onboarding, dialling. Nothing yet."""
