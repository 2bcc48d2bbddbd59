"""Phone calls: numbers, bindings, providers. Nothing yet."""
