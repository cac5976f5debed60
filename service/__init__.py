"""Kerascope: a REST service that shows what a Keras convolutional network sees."""

import sys

__version__ = "0.1.0"

# structlog takes rich for its tracebacks wherever that is installed, and Keras brings it: 5 MB of every process, for
# tracebacks that are logged without it. Whoever asks for rich afterwards gets it.
if "structlog" not in sys.modules and "rich" not in sys.modules:
    sys.modules["rich"] = None  # type: ignore[assignment]
    import structlog as _  # noqa: F401

    del sys.modules["rich"]
