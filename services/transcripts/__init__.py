"""Take in turns and reports, seal, list, summarise and delete transcripts."""
