"""What engines and background jobs may take of the machine."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel

from service.errors.validation import Matching
from service.settings.field import setting


class EngineSettings(BaseModel):
    """Devices, deadlines, budgets and queues."""

    device: Annotated[str, Matching(r"^(auto|cpu|gpu:\d{1,2})$", "it must be auto, cpu, or gpu: and a number")] = (
        setting("auto", "device", "`auto`, `cpu` or `gpu:N`.")
    )
    engines: int = setting(1, "processes", "Engine processes; each model is warm in one of them.", ge=1, le=16)
    cpu_threads: int = setting(
        0, "threads", "Threads of each engine; 0 shares this machine's cores among the engines.", ge=0, le=512
    )
    call_deadline_s: float = setting(
        60.0, "s", "Longest a call may take, waiting for the engine included.", gt=0, le=3600
    )
    max_step_s: float = setting(
        120.0,
        "s",
        "Longest that one step on the device, or compiling a plan, may take; an engine that takes longer is ended.",
        gt=0,
        le=86400,
    )
    max_load_s: float = setting(
        1800.0,
        "s",
        "Longest that loading a model may take, its download included; an engine that takes longer is ended.",
        gt=0,
        le=86400,
    )
    max_passes: int = setting(
        5000, "passes", "Most forward passes one call may take, a backward pass counted as two.", ge=1
    )
    call_bytes: int = setting(
        512 * 1024**2, "bytes", "Memory one step of a call may take; longer calls are cut into more steps.", ge=1024**2
    )
    cache_bytes: int = setting(
        16 * 1024**2, "bytes", "Answers kept for those who ask the same again; 0 keeps none and gives no `ETag`.", ge=0
    )
    queue_limit: int = setting(
        128,
        "units",
        "Calls that may wait or run at a time in each engine, about by the passes they take; more are answered 503.",
        ge=1,
    )


class JobSettings(BaseModel):
    """Their database, their bounds, and how workers run them."""

    database_url: str = setting(
        "", "URL", "Jobs database: `postgresql://…` for several machines; SQLite's `jobs.db` in `data_dir` when empty."
    )
    database_password: str = setting("", "text", "Password for `database_url`, where that has none.")
    run_jobs: bool = setting(
        True, "on/off", "Whether the engines run background jobs; off where `kerascope worker` processes do."
    )
    result_store: str = setting(
        "",
        "URL",
        "Where results beyond 20 MB go: an `fsspec` URL such as `s3://…`; a folder in `data_dir` when empty.",
    )
    result_ttl_s: int = setting(7 * 24 * 3600, "s", "How long a job's result is kept after its end.", ge=1)
    max_queued_jobs: int = setting(64, "jobs", "Jobs that may wait; more are answered 503.", ge=1)
    max_jobs_per_key: int = setting(
        32, "jobs", "Jobs one API key may have waiting and running; more are answered 429.", ge=1
    )
    max_job_passes: int = setting(
        1_000_000, "passes", "Most forward passes one job may take, a backward pass counted as two.", ge=1
    )
    job_poll_s: float = setting(0.07, "s", "How often an idle worker looks for a job.", ge=0.01, le=60)
    job_lease_s: float = setting(
        15.0, "s", "A worker that has not been heard of for so long is taken for dead; others go on with its job.", ge=1
    )
    job_checkpoint_s: float = setting(5.0, "s", "How often a running job is saved, to go on from there.", gt=0)
