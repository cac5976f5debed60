"""Records, in any process of Python that starts with this folder on its path, the files in which a function runs.

SIGUSR2 has the process write what it recorded since the last such signal into the folder of `SHAPE_FOLDER`, and
begin anew. Every thread is traced from its start, as a thread that runs already cannot be traced from outside.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from pathlib import Path
from types import FrameType

ROOT = os.environ.get("SHAPE_ROOT", "")
_seen: set[str] = set()


def _called(frame: FrameType, event: str, argument: object) -> None:
    """Notes the file of a function that begins. Importing a module runs its body, which is no call of it."""
    code = frame.f_code
    if code.co_filename.startswith(ROOT) and code.co_name != "<module>":
        _seen.add(code.co_filename)


def _write(signal_number: int, frame: FrameType | None) -> None:
    found = sorted(_seen)
    _seen.clear()
    target = Path(os.environ["SHAPE_FOLDER"]) / str(os.getpid())
    written = target.with_suffix(".part")
    written.write_text("\n".join(found), encoding="utf-8")
    written.replace(target)


if ROOT:
    signal.signal(signal.SIGUSR2, _write)
    threading.settrace(_called)
    sys.settrace(_called)
