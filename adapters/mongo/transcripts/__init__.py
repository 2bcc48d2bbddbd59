"""Transcripts, summaries and their lists in MongoDB."""
