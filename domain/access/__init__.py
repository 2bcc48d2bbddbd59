"""Who may do what, and how much: keys, principals, quotas, audit."""
