"""Records of sessions in MongoDB."""
