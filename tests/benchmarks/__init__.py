"""The harness of `make bench`. Importing it sets the environment of Keras and TensorFlow, which must come first."""

import tests.conftest  # noqa: F401
