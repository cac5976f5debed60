"""The doctor's child: has TensorFlow look for devices, and scans the model folder as an engine would."""

from __future__ import annotations

import sys

from service.cli.doctor.models import Found, Look
from service.errors import KerascopeError
from service.models.files.library import Library


def main() -> None:
    """A question on standard input, one line of JSON on standard output."""
    question = Look.model_validate_json(sys.stdin.read())
    import tensorflow as tf

    from service.ingest.trusted import Trust, require_allowed

    gpus = tf.config.list_physical_devices("GPU")
    names = [str(tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name)) for gpu in gpus]
    refused = {}
    for spec in () if question.trusted else Library(question.models_dir, shipped={}).specs().values():
        try:
            require_allowed(spec, Trust.WHOLE if spec.trusted else Trust.NO_CODE, ())
        except KerascopeError as error:
            refused[spec.id] = error.detail
        except Exception as error:
            # One that nobody foresaw is told of as well, and hides neither the others nor the device.
            refused[spec.id] = f"it cannot be looked into: {getattr(error, 'strerror', None) or type(error).__name__}"
    sys.stdout.write(Found(devices=names or ["cpu"], refused=refused).model_dump_json() + "\n")


if __name__ == "__main__":
    main()
