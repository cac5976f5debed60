"""Other libraries of the field, called in their own environment."""
