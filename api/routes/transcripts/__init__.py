"""Transcripts: read, list, export, summarise, delete."""
