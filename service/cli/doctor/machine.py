"""Memory, disk, port, and what the kernel offers."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import httpx

from service.cli.doctor.check import Check, failed, ok, warning
from service.ingest import sandbox
from service.settings import Settings

GB = 1e9
# What a process takes beside weights: measured on CPU, rounded up.
ENGINE_BYTES = 1_000_000_000
API_BYTES = 200_000_000
LITTLE_DISK, NO_DISK = 2_000_000_000, 100_000_000
CGROUPS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))


def of_memory(settings: Settings) -> Check:
    """What the engines may fill, beside what there is."""
    there = memory_bytes()
    wanted = settings.engines * (settings.registry_bytes + ENGINE_BYTES) + API_BYTES
    found = (
        f"{there / GB:.1f} GB; {settings.engines} engine{'s' * (settings.engines > 1)} with a registry of "
        f"{settings.registry_bytes / GB:.1f} GB may take {wanted / GB:.1f} GB"
    )
    if wanted > there:
        return warning("memory", found, "make KERASCOPE_REGISTRY_BYTES or KERASCOPE_ENGINES smaller, or add memory")
    return ok("memory", found)


def memory_bytes() -> int:
    """Counts the machine's memory, or what a container may take of it."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limits = [int(text) for path in CGROUPS if path.is_file() and (text := path.read_text().strip()).isdigit()]
    return min(total, *limits) if limits else total


def of_disk(settings: Settings) -> Check:
    """Room for models, results and the database."""
    folder = next(path for path in (settings.data_dir, *settings.data_dir.absolute().parents) if os.path.isdir(path))
    free = shutil.disk_usage(folder).free
    found = f"{free / GB:.1f} GB free at {folder}"
    if free < NO_DISK:
        return failed("disk", found, "make room: jobs and uploads are refused without")
    if free < LITTLE_DISK:
        return warning("disk", found, "make room before it is needed")
    return ok("disk", found)


def of_port(settings: Settings) -> Check:
    """Free, or held by a Kerascope already."""
    place = f"{settings.host}:{settings.port}"
    try:
        found = socket.getaddrinfo(settings.host, settings.port, type=socket.SOCK_STREAM)
        family, kind, protocol, _, address = found[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
    except OSError as error:
        if version := running_at(settings):
            return ok("port", f"{place}: a Kerascope answers there ({version})")
        advice = "stop what listens there, or set KERASCOPE_PORT"
        return failed("port", f"{place} cannot be listened on: {error.strerror}", advice)
    return ok("port", f"{place} is free" if settings.port else "any that is free")


def running_at(settings: Settings) -> str | None:
    """What a service at that port says of its engines; None where none answers."""
    host = re.sub(r"^(0\.0\.0\.0|::)$", "127.0.0.1", settings.host)
    try:
        answer = httpx.get(f"http://{f'[{host}]' if ':' in host else host}:{settings.port}/livez", timeout=2).json()
        return "engines: " + ", ".join(answer["engines"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return None


def of_sandbox(settings: Settings) -> Check:
    """What uploads are read in."""
    version = sandbox.landlock_version()
    network = "no network namespace" if not own_network() else "a network namespace of its own"
    if version >= 1:
        return ok("sandbox", f"Landlock version {version}, {network}")
    found = "no Landlock" + ("" if settings.uploads else "; uploads are off, so none is needed")
    advice = "use Linux 5.13 or later with `landlock` among its security modules, or leave uploads off"
    if settings.uploads and not settings.allow_unsandboxed_ingest:
        return failed("sandbox", found, advice)
    return warning("sandbox", found, advice)


def own_network() -> bool:
    """Whether an ordinary process may have a network of its own, tried in one that ends at once."""
    code = "import sys; from service.ingest.sandbox import own_network; sys.exit(not own_network())"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=30).returncode == 0
