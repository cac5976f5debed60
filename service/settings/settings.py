"""All settings, frozen: each from a flag, else `KERASCOPE_<NAME>`, else the TOML file, else its default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from service.settings.access import AccessSettings
from service.settings.engine import EngineSettings
from service.settings.field import setting
from service.settings.http import HttpSettings
from service.settings.images import ImageSettings
from service.settings.jobs import JobSettings
from service.settings.models import ModelSettings

PREFIX = "KERASCOPE_"
# Values that are never shown: a database URL holds a password.
SECRET = frozenset({"api_keys", "database_url"})


def split(value: str) -> list[str]:
    """`"a, b"` as `["a", "b"]`."""
    return [part.strip() for part in value.split(",") if part.strip()]


def config_file() -> Path | None:
    """The TOML file named by `KERASCOPE_CONFIG`."""
    path = os.environ.get(f"{PREFIX}CONFIG")
    return Path(path) if path else None


# Bases from last to first, as pydantic orders their fields.
class Settings(ImageSettings, JobSettings, EngineSettings, ModelSettings, AccessSettings, HttpSettings, BaseSettings):
    """Every field has a default, a unit and a sentence; the README's table is made from them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "level", "Least severe event that is logged."
    )
    log_format: Literal["json", "console"] = setting("json", "format", "`json` lines, or `console` for reading.")

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
