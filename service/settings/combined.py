"""All settings, frozen: each from a flag, else `KERASCOPE_<NAME>`, else a secret file, else TOML, else a default."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import quote, urlsplit

from pydantic import ValidationInfo, field_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from service.errors.validation import Matching
from service.settings.engine import EngineSettings, JobSettings
from service.settings.field import setting
from service.settings.http import AccessSettings, HttpSettings, ImageSettings
from service.settings.models import ModelSettings

Address = Annotated[
    str,
    Matching(r"^(https?://[^/?#]+(/[^?#]*)?)?$", "it must be http:// or https:// with a host, and no query"),
]
PREFIX = "KERASCOPE_"
# Values that are never shown: a database URL holds a password.
SECRET = frozenset({"api_keys", "database_url", "database_password"})


def split(value: str) -> list[str]:
    """`"a, b"` as `["a", "b"]`; a file of secrets may have a line for each."""
    return [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]


def config_file() -> Path | None:
    """The TOML file named by `KERASCOPE_CONFIG`."""
    path = os.environ.get(f"{PREFIX}CONFIG")
    return Path(path) if path else None


def secrets_dir() -> Path | None:
    """The folder named by `KERASCOPE_SECRETS_DIR`: a file in it named `kerascope_<name>` holds that setting."""
    path = os.environ.get(f"{PREFIX}SECRETS_DIR")
    return Path(path) if path else None


# Bases from last to first, as pydantic orders their fields.
class Settings(ImageSettings, JobSettings, EngineSettings, ModelSettings, AccessSettings, HttpSettings, BaseSettings):
    """Every field has a default, a unit and a sentence; the table of `docs/settings.md` is made from them."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid")

    log_level: Literal["debug", "info", "warning", "error"] = setting(
        "info", "level", "Least severe event that is logged."
    )
    log_format: Literal["json", "console"] = setting("json", "format", "`json` lines, or `console` for reading.")
    otlp_endpoint: Address = setting(
        "",
        "URL",
        "Where traces are sent by OTLP over HTTP, such as `http://localhost:4318`; none when empty. Needs the extra "
        "`otel`.",
    )

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

    @field_validator("database_password")
    @classmethod
    def _password_has_its_place(cls, value: str, info: ValidationInfo) -> str:
        url = urlsplit(info.data.get("database_url", ""))
        if value and (not url.username or url.password is not None):
            raise ValueError("database_url must be postgresql://<user>@<host>/…, without a password of its own")
        return value

    @property
    def jobs_database(self) -> str:
        """`database_url` with the password in it; empty for the default."""
        if not self.database_password:
            return self.database_url
        user, _, rest = self.database_url.partition("@")
        return f"{user}:{quote(self.database_password, safe='')}@{rest}"

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
        secrets = SecretsSettingsSource(settings_cls, secrets_dir())
        return init_settings, env_settings, secrets, TomlConfigSettingsSource(settings_cls, config_file())
