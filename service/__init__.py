"""Kerascope: a REST service that shows what a Keras convolutional network sees."""

__version__ = "0.1.0"
