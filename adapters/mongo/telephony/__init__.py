"""Numbers, carriers and batches. Nothing yet."""
