"""The small model that ships with the service: its pictures and its training."""
