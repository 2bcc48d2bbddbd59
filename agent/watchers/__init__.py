"""What watches a call: silence, time, models that do not answer."""
