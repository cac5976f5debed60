"""What the other processes are told at their start, from the settings."""

from __future__ import annotations

import contextlib
import itertools
import re
import socket
import uuid
import zlib
from pathlib import Path

import structlog

from service.engine.protocol import EngineConfig
from service.ingest.limits import IngestLimits
from service.jobs.config import JobsConfig
from service.jobs.lock import is_held
from service.settings import Settings, split

log = structlog.get_logger(__name__)


def engine_config(settings: Settings, number: int) -> EngineConfig:
    """What the engine child of that number is told; of the models to preload it takes those whose calls it will get."""
    return EngineConfig(
        socket="",
        data_dir=settings.data_dir,
        models_dir=settings.models_folder,
        registry_bytes=settings.registry_bytes,
        number=number,
        preload=tuple(split(settings.preload)),
        device=settings.device,
        threads=settings.cpu_threads,
        max_passes=settings.max_passes,
        max_job_passes=settings.max_job_passes,
        max_pixels=settings.max_pixels,
        max_side_px=settings.max_side_px,
        call_bytes=settings.call_bytes,
        max_step_s=settings.max_step_s,
        max_load_s=settings.max_load_s,
        engines=settings.engines,
        trust_models_dir=settings.trust_models_dir,
        allowed_layers=tuple(split(settings.allowed_layers)),
        log_level=settings.log_level,
        log_format=settings.log_format,
        worker=worker_name(settings, f"engine-{number}"),
        jobs=jobs_config(settings) if settings.run_jobs else None,
    )


def ingest_limits(settings: Settings) -> IngestLimits:
    """What the process that reads uploaded models is told."""
    return IngestLimits(
        max_file_bytes=settings.max_upload_bytes,
        max_parameters=settings.max_parameters,
        memory_bytes=settings.ingest_memory_bytes,
        timeout_s=settings.ingest_timeout_s,
        extra_classes=tuple(split(settings.allowed_layers)),
        unsandboxed=settings.allow_unsandboxed_ingest,
    )


def jobs_config(settings: Settings) -> JobsConfig:
    """What every process that uses the job queue is told."""
    return JobsConfig(
        database_url=settings.jobs_database or f"sqlite:///{settings.data_dir.absolute() / 'jobs.db'}",
        result_store=settings.result_store or (settings.data_dir.absolute() / "results").as_uri(),
        data_dir=settings.data_dir,
        result_ttl_s=settings.result_ttl_s,
        max_queued=settings.max_queued_jobs,
        max_per_owner=settings.max_jobs_per_key,
        poll_s=settings.job_poll_s,
        lease_s=settings.job_lease_s,
        checkpoint_s=settings.job_checkpoint_s,
    )


def free_worker_name(settings: Settings) -> str:
    """The first name that no worker process on this machine holds."""
    return next(
        name
        for number in itertools.count()
        if not is_held(settings.data_dir, name := worker_name(settings, f"worker-{number}"))
    )


def worker_name(settings: Settings, role: str) -> str:
    """Names the worker: the same after a restart, so that it finds its own jobs again; another for another data folder,
    also where that has the same path, as in two containers."""
    return f"{socket.gethostname()}-{_number_of(settings.data_dir)}-{role}"


def _number_of(folder: Path) -> str:
    """Eight hex digits that are written into the folder when they are first asked for."""
    path = folder / "instance"
    try:
        with contextlib.suppress(FileExistsError), path.open("x") as file:
            file.write(uuid.uuid4().hex[:8])
        if re.fullmatch("[0-9a-f]{8}", known := path.read_text()):
            return known
    except FileNotFoundError:
        # Nothing is started yet that would make the folder.
        pass
    except OSError as error:
        log.warning("data folder has no number of its own", reason=error.strerror)
    return f"{zlib.crc32(str(folder.absolute()).encode()):08x}"
