"""Bytes to pixels and numbers to pictures; no TensorFlow, no HTTP, no shared state."""
