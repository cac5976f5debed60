"""All settings, frozen: each from a flag, else `KERASCOPE_<NAME>`, else the TOML file, else its default."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from service.errors import ConfigurationError, nearest

PREFIX = "KERASCOPE_"
# Values that are never shown: a database URL holds a password.
SECRET = frozenset({"api_keys", "database_url"})


def default_data_dir() -> Path:
    """`$XDG_DATA_HOME/kerascope`, else `~/.local/share/kerascope`."""
    base = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
    return Path(base) / "kerascope"


def _setting(default: Any, unit: str, description: str, **bounds: Any) -> Any:
    """A field with its unit beside its sentence; a callable default is asked anew for each Settings."""
    kind = "default_factory" if callable(default) else "default"
    return Field(**{kind: default}, description=description, json_schema_extra={"unit": unit}, **bounds)


class Settings(BaseSettings):
    """Every field has a default, a unit and a sentence; the README's table is made from them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    host: str = _setting(
        "127.0.0.1", "address", "Address the service listens on; anything but loopback needs `api_keys`."
    )
    port: int = _setting(8000, "port", "TCP port; 0 takes a free one.", ge=0, le=65535)
    data_dir: Path = _setting(default_data_dir, "folder", "Where the service keeps converted models and its own files.")
    models_dir: Path | None = _setting(None, "folder", "Your models; `models` inside `data_dir` when absent.")
    api_keys: str = _setting(
        "", "list", "Comma-separated `sha256:<hex>` of the keys that callers send as `Authorization: Bearer <key>`."
    )
    preload: str = _setting(
        "shapes,efficientnet-lite0", "list", "Comma-separated IDs of models warmed at start and never evicted."
    )
    device: str = _setting("auto", "device", "`auto`, `cpu` or `gpu:N`.", pattern=r"^(auto|cpu|gpu:\d{1,2})$")
    engines: int = _setting(1, "processes", "Engine processes; each model is warm in one of them.", ge=1, le=16)
    cpu_threads: int = _setting(
        0, "threads", "Threads of each engine; 0 shares this machine's cores among the engines.", ge=0, le=512
    )
    registry_bytes: int = _setting(
        4 * 1024**3,
        "bytes",
        "Weights each engine keeps warm, copies in compiled plans included; the least recently used go first.",
        ge=1024**2,
    )
    call_deadline_s: float = _setting(
        60.0, "s", "Longest a call may take, waiting for the engine included.", gt=0, le=3600
    )
    max_passes: int = _setting(
        5000, "passes", "Most forward passes one call may take, a backward pass counted as two.", ge=1
    )
    call_bytes: int = _setting(
        512 * 1024**2, "bytes", "Memory one step of a call may take; longer calls are cut into more steps.", ge=1024**2
    )
    cache_bytes: int = _setting(
        16 * 1024**2, "bytes", "Answers kept for those who ask the same again; 0 keeps none and gives no `ETag`.", ge=0
    )
    queue_limit: int = _setting(
        64, "calls", "Calls that may wait or run at a time in each engine; more are answered 503.", ge=1
    )
    database_url: str = _setting(
        "", "URL", "Jobs database: `postgresql://…` for several machines; SQLite's `jobs.db` in `data_dir` when empty."
    )
    run_jobs: bool = _setting(
        True, "on/off", "Whether the engines run background jobs; off where `kerascope worker` processes do."
    )
    result_store: str = _setting(
        "",
        "URL",
        "Where results beyond 20 MB go: an `fsspec` URL such as `s3://…`; a folder in `data_dir` when empty.",
    )
    result_ttl_s: int = _setting(7 * 24 * 3600, "s", "How long a job's result is kept after its end.", ge=1)
    max_queued_jobs: int = _setting(64, "jobs", "Jobs that may wait; more are answered 503.", ge=1)
    max_jobs_per_key: int = _setting(
        32, "jobs", "Jobs one API key may have waiting and running; more are answered 429.", ge=1
    )
    max_job_passes: int = _setting(
        1_000_000, "passes", "Most forward passes one job may take, a backward pass counted as two.", ge=1
    )
    job_poll_s: float = _setting(0.07, "s", "How often an idle worker looks for a job.", ge=0.01, le=60)
    job_lease_s: float = _setting(
        15.0, "s", "A worker that has not been heard of for so long is taken for dead; others go on with its job.", ge=1
    )
    job_checkpoint_s: float = _setting(5.0, "s", "How often a running job is saved, to go on from there.", gt=0)
    shutdown_grace_s: int = _setting(20, "s", "Time that calls in flight have to end after SIGTERM.", ge=0, le=600)
    max_body_bytes: int = _setting(32 * 1024**2, "bytes", "Largest request body.", ge=1024)
    max_pixels: int = _setting(50_000_000, "px", "Most pixels of an image, width times height.", ge=1)
    max_side_px: int = _setting(16_384, "px", "Longest side of an image.", ge=1)
    max_response_bytes: int = _setting(256 * 1024**2, "bytes", "Most bytes of raw arrays in one answer.", ge=1024)
    render_threads: int = _setting(2, "threads", "Threads that decode and draw images in the api process.", ge=1, le=64)
    log_level: Literal["debug", "info", "warning", "error"] = _setting(
        "info", "level", "Least severe event that is logged."
    )
    log_format: Literal["json", "console"] = _setting("json", "format", "`json` lines, or `console` for reading.")

    @field_validator("api_keys")
    @classmethod
    def _keys_are_digests(cls, value: str) -> str:
        for part in split(value):
            digest = part.removeprefix("sha256:")
            if digest == part or len(digest) != 64 or set(digest) - set("0123456789abcdef"):
                raise ValueError('each key must be sha256:<64 hex digits>; make one with: printf %s "$KEY" | sha256sum')
        return value

    @field_validator("database_url")
    @classmethod
    def _database_is_known(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "sqlite:///")):
            raise ValueError("it must start with postgresql:// or sqlite:///")
        return value

    @property
    def models_folder(self) -> Path:
        return self.models_dir or self.data_dir / "models"

    @property
    def key_digests(self) -> frozenset[str]:
        return frozenset(part.removeprefix("sha256:") for part in split(self.api_keys))

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, config_file())


@dataclass(frozen=True)
class Origin:
    """One setting as `kerascope settings` shows it."""

    name: str
    value: Any
    unit: str
    source: str
    description: str


def split(value: str) -> list[str]:
    """`"a, b"` as `["a", "b"]`."""
    return [part.strip() for part in value.split(",") if part.strip()]


def config_file() -> Path | None:
    """The TOML file named by `KERASCOPE_CONFIG`."""
    path = os.environ.get(f"{PREFIX}CONFIG")
    return Path(path) if path else None


def load_settings(**flags: Any) -> Settings:
    """Settings from all sources; flags that are None count as not given.

    Raises ConfigurationError naming the setting, the value and what would be right.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_names()
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise ConfigurationError("; ".join(_sentence(item) for item in error.errors())) from None
    if not is_loopback(settings.host) and not settings.key_digests:
        raise ConfigurationError(
            f"host {settings.host!r} is reachable from other machines, and no API keys are set. Either listen on "
            f'127.0.0.1, or set {PREFIX}API_KEYS to sha256:<hex> of a key (printf %s "$KEY" | sha256sum)'
        )
    return settings


def make_folders(settings: Settings) -> None:
    """Raises ConfigurationError for a folder that cannot be made."""
    for name, folder in (("data_dir", settings.data_dir), ("models_dir", settings.models_folder)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigurationError(f"{name}: the folder {str(folder)!r} cannot be made: {error.strerror}") from None


def is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def origins(settings: Settings, **flags: Any) -> list[Origin]:
    """Each setting with its unit and where it came from."""
    path = config_file()
    in_file = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    found = []
    for name, info in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        if flags.get(name) is not None:
            source = f"flag --{name.replace('_', '-')}"
        elif variable in os.environ:
            source = f"environment {variable}"
        elif path and name in in_file:
            source = f"file {path}"
        else:
            source = "default"
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        found.append(Origin(name, getattr(settings, name), str(extra["unit"]), source, info.description or ""))
    return found


def _sentence(item: Any) -> str:
    name = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{name}: {message}" if name in SECRET else f"{name}: {message}, got {item.get('input')!r}"


def _refuse_unknown_names() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields} | {f"{PREFIX}CONFIG", f"{PREFIX}TEST_DATA"}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known:
            raise ConfigurationError(f"the environment sets {variable}, which is no setting{nearest(variable, known)}")
    path = config_file()
    if path is None:
        return
    try:
        names = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"the settings file {str(path)!r} cannot be read: {error}") from None
    for name in names:
        if name not in Settings.model_fields:
            raise ConfigurationError(
                f"{str(path)!r} sets {name!r}, which is no setting{nearest(name, Settings.model_fields)}"
            )
