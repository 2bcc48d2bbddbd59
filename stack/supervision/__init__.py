"""Processes kept alive: started in order, watched, restarted, stopped in the reverse order."""
