"""Transcripts: turns, reports, summaries, usage and retention."""
