"""API keys: what one is, what it allows, and the file that remembers them without holding any."""
