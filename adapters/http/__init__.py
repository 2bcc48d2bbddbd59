"""HTTP requests to the outside, guarded and bounded."""
