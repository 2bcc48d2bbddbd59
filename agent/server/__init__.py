"""The agent server: it takes jobs, counts them and says that it lives."""
