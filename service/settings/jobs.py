"""Background jobs."""

from __future__ import annotations

from pydantic import BaseModel

from service.settings.field import setting


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
