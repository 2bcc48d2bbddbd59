"""The front door: FastAPI, one router per resource; starts, signals, updates, queries workflows."""
