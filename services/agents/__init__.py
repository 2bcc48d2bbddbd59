"""Save agents, resolve configurations, watch over agent servers."""
