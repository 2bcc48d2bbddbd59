"""The `models` process: speech and chat without any account, behind an OpenAI-compatible server."""
