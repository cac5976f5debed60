"""What one answer may be made of, whatever its form."""

from __future__ import annotations

from service.errors import InvalidParameter

MAX_CHANNEL_PICTURES = 1024
# The forms that are arrays and say nothing about them.
RAW_FORMS = ("npy", "npz")


def require_one_array(count: int, *, targeted: bool) -> None:
    """Raises InvalidParameter where a form of one array would leave out some of the `count` that are asked for."""
    if count > 1:
        what = "targets have a map each" if targeted else "layers have their maps each"
        raise InvalidParameter(
            f"format=npy holds one array, and {count} {what}; ask for format=npz or json, or for one"
        )


def require_drawable(count: int) -> None:
    """Raises InvalidParameter for more pictures of single channels than one answer may have."""
    if count > MAX_CHANNEL_PICTURES:
        raise InvalidParameter(
            f"view=channel would draw more than {MAX_CHANNEL_PICTURES} pictures; name fewer with 'channels', or use "
            "view=grid"
        )
