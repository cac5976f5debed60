"""Durable background jobs: a narrow port of our own, DBOS behind it. Knows nothing of what a job computes."""
