"""Models that callers have uploaded."""
