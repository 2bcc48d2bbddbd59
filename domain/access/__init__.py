"""Access: keys, principals, quotas, audit."""
