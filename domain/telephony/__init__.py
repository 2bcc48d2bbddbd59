"""Phone calls: numbers, carriers and their bindings, batches. Nothing yet."""
