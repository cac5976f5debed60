"""What the job queue is told, in every process that uses it."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict


class JobsConfig(BaseModel):
    """`database_url` is `sqlite:///…` or `postgresql://…`; times are in s; `result_store` is an fsspec URL.

    `data_dir` is where a worker's lock file lies.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    database_url: str
    result_store: str
    data_dir: Path
    result_ttl_s: float
    max_queued: int
    max_per_owner: int
    poll_s: float
    lease_s: float
    checkpoint_s: float
