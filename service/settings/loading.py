"""Settings from all their sources, and where each came from."""

from __future__ import annotations

import ipaddress
import os
import tomllib
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.errors import ConfigurationError, nearest
from service.errors.validation import field_errors, in_one
from service.keys.store import KeyStore
from service.settings.combined import PREFIX, SECRET, Settings, config_file, secrets_dir


@dataclass(frozen=True)
class Origin:
    """One setting as `kerascope settings` shows it."""

    name: str
    value: Any
    unit: str
    source: str
    description: str


def load_settings(**flags: Any) -> Settings:
    """Settings from all sources; flags that are None count as not given.

    Raises ConfigurationError naming the setting, the value and what would be right.
    """
    given = {name: value for name, value in flags.items() if value is not None}
    _refuse_unknown_names()
    try:
        settings = Settings(**given)
    except ValidationError as error:
        raise ConfigurationError(in_one(field_errors(error.errors(), Settings, SECRET))) from None
    except OSError as error:
        raise ConfigurationError(f"the secret {error.filename!r} cannot be read: {error.strerror}") from None
    if not is_loopback(settings.host) and not settings.key_digests and not KeyStore(settings.data_dir).guarded():
        raise ConfigurationError(
            f"host {settings.host!r} is reachable from other machines, and there are no API keys. Either listen on "
            f"127.0.0.1, or make a key with `kerascope keys create`, or set {PREFIX}API_KEYS to sha256:<hex> of a key "
            '(printf %s "$KEY" | sha256sum)'
        )
    return settings


def make_folders(settings: Settings) -> None:
    """Raises ConfigurationError for a folder that cannot be made, and for one of models or pictures that is named and
    not there: it is more likely that its name is wrong than that what it holds is still to come."""
    if settings.models_dir and not settings.models_dir.exists():
        raise ConfigurationError(
            f"models_dir: there is no folder {str(settings.models_dir)!r}; make it, or name the one with your models"
        )
    if settings.pictures_dir and not settings.pictures_dir.is_dir():
        raise ConfigurationError(
            f"pictures_dir: there is no folder {str(settings.pictures_dir)!r}; make it, or name the one with your "
            "folders of pictures"
        )
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
    path, folder = config_file(), secrets_dir()
    in_file = tomllib.loads(path.read_text(encoding="utf-8")) if path else {}
    found = []
    for name, info in Settings.model_fields.items():
        variable = PREFIX + name.upper()
        if flags.get(name) is not None:
            source = f"flag --{name.replace('_', '-')}"
        elif variable in os.environ:
            source = f"environment {variable}"
        elif folder and (folder / variable.lower()).is_file():
            source = f"file {folder / variable.lower()}"
        elif path and name in in_file:
            source = f"file {path}"
        else:
            source = "default"
        extra = info.json_schema_extra if isinstance(info.json_schema_extra, dict) else {}
        found.append(Origin(name, getattr(settings, name), str(extra["unit"]), source, info.description or ""))
    return found


# What the example clients read.
OF_CLIENTS = ("URL", "KEY")


def _refuse_unknown_names() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    known |= {f"{PREFIX}{name}" for name in ("CONFIG", "SECRETS_DIR", "TEST_DATA", *OF_CLIENTS)}
    for variable in os.environ:
        if variable.startswith(PREFIX) and variable not in known:
            raise ConfigurationError(f"the environment sets {variable}, which is no setting{nearest(variable, known)}")
    if (folder := secrets_dir()) is not None and not folder.is_dir():
        raise ConfigurationError(f"{PREFIX}SECRETS_DIR names {str(folder)!r}, which is no folder")
    for name in sorted(path.name for path in folder.iterdir()) if folder else ():
        if name.lower().startswith(PREFIX.lower()) and name.upper() not in known:
            wanted = nearest(name, [variable.lower() for variable in known])
            raise ConfigurationError(f"{str(folder)!r} holds the secret {name!r}, which is no setting{wanted}")
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
