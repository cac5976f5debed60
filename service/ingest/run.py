"""The side of the service: starts the child, waits for it, and believes of it what it can check."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import signal
import sys
from pathlib import Path

import structlog
from pydantic import ValidationError

from service.ingest.limits import IngestLimits
from service.ingest.verdict import MAX_BYTES, Verdict

log = structlog.get_logger(__name__)

ROOT = Path(__file__).resolve().parents[2]
# What the child says beside its verdict, for the log.
TOLD_BYTES = 4096


async def ingest(folder: Path, limits: IngestLimits) -> Verdict:
    """The verdict on the upload in `folder`, which holds the canonical file when it is accepted.

    The child and all it started are ended when its time is over, or when this call is cancelled.
    """
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-P", "-s", "-m", "service.ingest", str(folder),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        cwd=folder,
        env=_environment(folder),
        start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(limits.timeout_s):
            said, told = await _talk(child, limits.model_dump_json().encode())
            code = await child.wait()
    except TimeoutError:
        return Verdict.refused("model.too_costly", f"reading the model took longer than {limits.timeout_s:g} s")
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
        await child.wait()
    return await asyncio.to_thread(_judged, folder, said, told, code)


def _judged(folder: Path, said: bytes, told: bytes, code: int) -> Verdict:
    try:
        verdict = Verdict.model_validate_json(said)
    except ValidationError:
        log.warning("ingest ended without a verdict", exit_code=code, said=told.decode("utf-8", "replace"))
        how = f"ended by signal {-code}" if code < 0 else "gave no answer"
        return Verdict.refused(
            "model.unreadable", f"the process that read the model {how}; the file is damaged or hostile"
        )
    if verdict.manifest is not None and verdict.manifest.canonical_digest != _digest(folder / verdict.manifest.file):
        return Verdict.refused("model.unreadable", "the model was not written as the process that read it said")
    return verdict


async def _talk(child: asyncio.subprocess.Process, limits: bytes) -> tuple[bytes, bytes]:
    if child.stdin is None or child.stdout is None or child.stderr is None:
        raise RuntimeError("the ingest child has no pipes")
    with contextlib.suppress(ConnectionError):
        child.stdin.write(limits)
        await child.stdin.drain()
    child.stdin.close()
    return await asyncio.gather(_some(child.stdout, MAX_BYTES), _some(child.stderr, TOLD_BYTES))


async def _some(stream: asyncio.StreamReader, most: int) -> bytes:
    """The first so many bytes; the rest is read and dropped, so that nobody waits for it."""
    kept = b""
    while block := await stream.read(65536):
        kept += block[: most - len(kept)]
    return kept


def _environment(folder: Path) -> dict[str, str]:
    """Nothing of ours but where Python finds the service."""
    here = str(folder)
    return {
        "PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8",
        "HOME": here, "TMPDIR": here, "KERAS_HOME": here, "KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3",
        "CUDA_VISIBLE_DEVICES": "-1", "HDF5_PLUGIN_PRELOAD": "::", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "2",
        # Each thread takes of the address space that the sandbox bounds.
        "TF_NUM_INTRAOP_THREADS": "2", "TF_NUM_INTEROP_THREADS": "2", "MALLOC_ARENA_MAX": "2",
    }  # fmt: skip


def _digest(path: Path) -> str:
    if path.is_symlink() or not path.is_file():
        return ""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"
