"""`make fuzz`: requests made from the schema against the running service, then files made to break what reads them."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.rows import Row, at_least, at_most
from tests.conftest import ROOT, Service, start_service
from tests.fuzz.images import fuzzed
from tests.reliability.report import RESULTS, merged, section

HERE = Path(__file__).parent
CHECKS = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance"
# Small networks and short calls: it is the number of requests that counts.
SETTINGS = {
    "preload": "shapes",
    "uploads": "true",
    "max_passes": "200",
    "max_job_passes": "400",
    "max_upload_bytes": "1000000",
}


def schema_cases(url: str, examples: int, phases: str = "examples,coverage,fuzzing,stateful") -> tuple[int, int, str]:
    """Cases, failures and the report of schemathesis against the service at `url`.

    Streams of events never end and are left out.
    """
    done = subprocess.run(
        [
            sys.executable, "-m", "schemathesis.cli", "--config-file", str(HERE / "schemathesis.toml"),
            "run", f"{url}/openapi.json", "--checks", CHECKS, "--max-examples", str(examples), "--phases", phases,
            "--seed", "1", "--request-timeout", "60", "--continue-on-failure", "--workers", "2",
            "--exclude-operation-id", "follow_job",
        ],
        cwd=ROOT,
        env={**os.environ, "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )  # fmt: skip
    found = re.search(r"(\d+) generated(?:, (\d+) found (\d+) unique failures?)?", done.stdout)
    if found is None:
        return 0, 1, done.stdout + done.stderr
    failures = int(found[3] or 0) if done.returncode == 0 else max(1, int(found[3] or 0))
    return int(found[1]), failures, done.stdout


def run(service: Service, examples: int, images: int) -> list[Row]:
    """The rows of both."""
    cases, failures, report = schema_cases(service.url, examples)
    if failures:
        sys.stdout.write(report)
    tried, statuses = fuzzed(service, images)
    broken = sum(count for status, count in statuses.items() if status >= 500 and status != 503)
    shown = ", ".join(f"{count} × {status}" for status, count in sorted(statuses.items()))
    return [
        Row("fuzz/cases", "requests made from the schema", cases, at_least(20_000), "requests"),
        Row("fuzz/failures", "of them 5xx other than 503, or not as the schema says", failures, at_most(0), "kinds"),
        Row("fuzz/images", "damaged image files", tried, at_least(10_000), "files", note=shown),
        Row("fuzz/broken", "of them answered 5xx", broken, at_most(0), "files"),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--examples", type=int, default=560, help="for each operation of the schema")
    parser.add_argument("--images", type=int, default=10_000)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kerascope-fuzz-") as folder:
        service = start_service(Path(folder), **SETTINGS)
        try:
            rows = run(service, given.examples, given.images)
        finally:
            service.stop()
    for row in rows:
        sys.stdout.write(f"{row.what}: {row.shown} {row.note}\n")
    text = RESULTS.read_text(encoding="utf-8") if RESULTS.is_file() else ""
    RESULTS.write_text(merged(text, section("Requests and files that nobody would send", "make fuzz", rows)))


if __name__ == "__main__":
    main()
