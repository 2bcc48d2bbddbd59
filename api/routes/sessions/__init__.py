"""Sessions under `/v1`: start, read, steer, follow."""
