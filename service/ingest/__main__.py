"""The one-shot child: the only process that opens an uploaded model file. Limits in, a verdict out, then it ends."""

from __future__ import annotations

import math
import os
import sys
from pathlib import Path

from service.ingest import sandbox
from service.ingest.limits import IngestLimits
from service.ingest.verdict import Refused, Verdict

# Processor time of all its threads, for each second that it may take.
CPU_SHARE = 8


def main() -> None:
    """`python -m service.ingest FOLDER`, with the limits as JSON on standard input."""
    folder = Path(sys.argv[1])
    limits = IngestLimits.model_validate_json(sys.stdin.buffer.read())
    answer = os.dup(1)
    # Whatever libraries print must not be taken for the verdict.
    os.dup2(2, 1)
    verdict = _judged(folder, limits)
    os.write(answer, verdict.model_dump_json().encode())
    # Threads of TensorFlow are not waited for, and nothing of the file is cleaned up after.
    os._exit(0)


def _judged(folder: Path, limits: IngestLimits) -> Verdict:
    file_bytes = limits.max_file_bytes * 2
    sandboxed = sandbox.enter(folder, limits.memory_bytes, math.ceil(limits.timeout_s) * CPU_SHARE, file_bytes)
    if not sandboxed and not limits.unsandboxed:
        return Verdict.refused("model.no_sandbox", f"models are not read without a sandbox: {sandbox.why_not()}")
    try:
        from service.ingest.rebuild import rebuilt
        from service.ingest.upload import checked, files_of

        files = files_of(folder)
        manifest = rebuilt(checked(files, folder, limits), files, folder, limits, sandboxed=sandboxed)
    except Refused as refused:
        return Verdict.refused(refused.code, refused.detail)
    except MemoryError:
        return Verdict.refused("model.too_costly", "the model takes more memory than it may")
    except Exception as error:
        return Verdict.refused("model.unreadable", f"the model cannot be read: {type(error).__name__}")
    return Verdict(code="accepted", manifest=manifest)


if __name__ == "__main__":
    main()
