"""Images as Fourier coefficients, each scaled by 1/frequency, as Lucid does: a step changes all frequencies alike."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def spectrum_shape(size: tuple[int, int], colours: int) -> tuple[int, ...]:
    """(2, colours, h, w//2 + 1): real and imaginary part of half the spectrum; the other half is its mirror."""
    return 2, colours, size[0], size[1] // 2 + 1


def scales(size: tuple[int, int]) -> Floats:
    """(h, w//2 + 1): sqrt(h·w)/4 over the frequency in cycles a px, the lowest one taken for 1 over the longer side."""
    height, width = size
    rows, columns = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)
    frequencies = np.maximum(np.hypot(rows, columns), 1 / max(size))
    return np.asarray(np.sqrt(height * width) / 4 / frequencies, np.float32)


def image_of(ops: Any, spectrum: Any, size: tuple[int, int]) -> Any:
    """Unscaled coefficients (b, 2, c, h, w//2 + 1) → images (b, h, w, c)."""
    height, width = size
    # An inverse transform down the columns is the conjugate of one of the conjugate; it works on the last axis.
    scaled = ops.transpose(spectrum * scales(size), (0, 1, 2, 4, 3))
    real, imaginary = ops.fft((scaled[:, 0], -scaled[:, 1]))
    columns = (ops.transpose(part, (0, 1, 3, 2)) / height for part in (real, -imaginary))
    return ops.transpose(ops.irfft(tuple(columns), fft_length=width), (0, 2, 3, 1))


def spectrum_of(image: NDArray[Any]) -> Floats:
    """The coefficients (2, c, h, w//2 + 1) of an image (h, w, c): the inverse of `image_of`."""
    size = image.shape[0], image.shape[1]
    found = np.fft.rfft2(np.moveaxis(image.astype(np.float64), -1, 0)) / scales(size)
    return np.stack([found.real, found.imag]).astype(np.float32)
