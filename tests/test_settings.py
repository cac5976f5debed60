"""Settings: where each comes from, what is refused, and that every field explains itself."""

from __future__ import annotations

import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from service.app import create_app
from service.configuration import engine_config, jobs_config
from service.errors import ConfigurationError
from service.settings import Settings, default_data_dir, is_loopback, load_settings, make_folders, origins, split

DIGEST = f"sha256:{sha256(b'key').hexdigest()}"


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("KERASCOPE_"):
            monkeypatch.delenv(name)


def in_file(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> Path:
    path = folder / "kerascope.toml"
    path.write_text(text, encoding="utf-8")
    monkeypatch.setenv("KERASCOPE_CONFIG", str(path))
    return path


def source(name: str, **flags: Any) -> tuple[Any, str]:
    (found,) = [item for item in origins(load_settings(**flags), **flags) if item.name == name]
    return found.value, found.source


class TestFields:
    @pytest.mark.parametrize("name", Settings.model_fields)
    def test_each_has_a_unit_a_sentence_and_a_default(self, name: str) -> None:
        field = Settings.model_fields[name]
        assert isinstance(field.json_schema_extra, dict)
        assert field.json_schema_extra["unit"]
        assert field.description
        assert field.description.endswith(".")
        assert not field.is_required()

    def test_they_are_frozen(self) -> None:
        with pytest.raises(ValueError, match="frozen"):
            Settings().port = 1  # type: ignore[misc]

    def test_the_models_folder_follows_the_data_folder(self) -> None:
        assert Settings(data_dir=Path("a")).models_folder == Path("a/models")
        assert Settings(data_dir=Path("a"), models_dir=Path("b")).models_folder == Path("b")

    def test_the_data_folder_follows_xdg(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_DATA_HOME", "/x")
        assert default_data_dir() == Settings().data_dir == Path("/x/kerascope")
        monkeypatch.delenv("XDG_DATA_HOME")
        monkeypatch.setenv("HOME", "/h")
        assert default_data_dir() == Path("/h/.local/share/kerascope")


class TestPrecedence:
    def test_flag_environment_file_default(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert source("port") == (8000, "default")
        path = in_file(monkeypatch, tmp_path, "port = 1111\n")
        assert source("port") == (1111, f"file {path}")
        monkeypatch.setenv("KERASCOPE_PORT", "2222")
        assert source("port") == (2222, "environment KERASCOPE_PORT")
        assert source("port", port=3333) == (3333, "flag --port")
        assert source("port", port=None) == (2222, "environment KERASCOPE_PORT")

    def test_each_setting_on_its_own(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        in_file(monkeypatch, tmp_path, 'engines = 2\nlog_level = "debug"\ncall_deadline_s = 1.5\n')
        monkeypatch.setenv("KERASCOPE_ENGINES", "3")
        settings = load_settings(data_dir=tmp_path)
        assert (settings.engines, settings.log_level, settings.call_deadline_s) == (3, "debug", 1.5)
        assert settings.data_dir == tmp_path


class TestRefused:
    @pytest.mark.parametrize(
        ("variable", "words"),
        [
            ("KERASCOPE_PROT", ["KERASCOPE_PROT", "no setting", "'KERASCOPE_PORT'"]),
            ("KERASCOPE_MAX_PIXEL", ["'KERASCOPE_MAX_PIXELS'"]),
            ("KERASCOPE_XYZ", ["KERASCOPE_XYZ", "no setting"]),
        ],
    )
    def test_unknown_variable(self, monkeypatch: pytest.MonkeyPatch, variable: str, words: list[str]) -> None:
        monkeypatch.setenv(variable, "1")
        with pytest.raises(ConfigurationError) as caught:
            load_settings()
        assert all(word in caught.value.detail for word in words), caught.value.detail

    def test_unknown_key_in_the_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        in_file(monkeypatch, tmp_path, "prot = 1\n")
        with pytest.raises(ConfigurationError, match=r"kerascope.toml' sets 'prot', which is no setting; .*'port'"):
            load_settings()

    @pytest.mark.parametrize("text", ["port = ", "[port\n", "\x00", "a = 1\na = 2\n"])
    def test_no_toml(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, text: str) -> None:
        in_file(monkeypatch, tmp_path, text)
        with pytest.raises(ConfigurationError, match="cannot be read"):
            load_settings()

    def test_no_such_file(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("KERASCOPE_CONFIG", str(tmp_path / "no.toml"))
        with pytest.raises(ConfigurationError, match=r"no.toml' cannot be read: .*No such file"):
            load_settings()

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("port", "eighty"),
            ("port", "65536"),
            ("port", "-1"),
            ("device", "tpu"),
            ("device", "gpu:"),
            ("engines", "0"),
            ("call_deadline_s", "0"),
            ("call_deadline_s", "nan"),
            ("queue_limit", "0"),
            ("max_pixels", "0"),
            ("log_level", "loud"),
            ("log_format", "xml"),
            ("registry_bytes", "1k"),
        ],
    )
    def test_bad_value(self, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
        monkeypatch.setenv(f"KERASCOPE_{name.upper()}", value)
        with pytest.raises(ConfigurationError) as caught:
            load_settings()
        assert name in caught.value.detail
        assert value in caught.value.detail

    def test_the_sentence(self) -> None:
        with pytest.raises(ConfigurationError) as caught:
            load_settings(device="tpu", log_format="xml", otlp_endpoint="collector:4318")
        said = caught.value.detail
        assert "device: it must be auto, cpu, or gpu: and a number, got 'tpu'" in said
        assert "log_format: input should be 'json' or 'console', got 'xml'" in said
        assert "otlp_endpoint: it must be http:// or https:// with a host, and no query, got 'collector:4318'" in said

    def test_every_bad_value_is_told(self) -> None:
        with pytest.raises(ConfigurationError, match=r"port: .*; .*queue_limit: "):
            load_settings(port=-1, queue_limit=0)


class TestKeys:
    @pytest.mark.parametrize("value", ["my secret", "sha256:abc", DIGEST[7:], f"{DIGEST},my secret", DIGEST.upper()])
    def test_only_digests_and_no_key_is_shown(self, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
        monkeypatch.setenv("KERASCOPE_API_KEYS", value)
        with pytest.raises(ConfigurationError, match=r"api_keys: each key must be sha256:.*sha256sum") as caught:
            load_settings()
        assert value not in caught.value.detail

    def test_several(self) -> None:
        other = f"sha256:{'0' * 64}"
        assert Settings(api_keys=f" {DIGEST} , {other},").key_digests == {DIGEST[7:], "0" * 64}
        assert Settings(api_keys="").key_digests == frozenset()


class TestLoopback:
    @pytest.mark.parametrize("host", ["127.0.0.1", "127.8.9.10", "::1", "localhost"])
    def test_open_to_this_machine_only(self, host: str) -> None:
        assert is_loopback(host)
        assert load_settings(host=host).host == host

    @pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.5", "example.org", "", "localhost.evil.org"])
    def test_anything_else_needs_keys(self, host: str) -> None:
        with pytest.raises(ConfigurationError, match=r"reachable from other machines.*KERASCOPE_API_KEYS.*sha256sum"):
            load_settings(host=host)
        assert load_settings(host=host, api_keys=DIGEST).host == host


class TestFolders:
    def test_they_are_made(self, tmp_path: Path) -> None:
        make_folders(Settings(data_dir=tmp_path / "a" / "b"))
        assert (tmp_path / "a" / "b" / "models").is_dir()

    def test_a_model_folder_that_is_named_must_be_there(self, tmp_path: Path) -> None:
        make_folders(Settings(data_dir=tmp_path / "data"))
        assert (tmp_path / "data" / "models").is_dir()
        with pytest.raises(ConfigurationError) as raised:
            make_folders(Settings(data_dir=tmp_path / "data", models_dir=tmp_path / "modles"))
        assert raised.value.detail == (
            f"models_dir: there is no folder '{tmp_path}/modles'; make it, or name the one with your models"
        )
        assert not (tmp_path / "modles").exists()

    @pytest.mark.parametrize("name", ["data_dir", "models_dir"])
    def test_a_file_in_the_way(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "file").write_text("")
        folders: dict[str, Any] = {"data_dir": tmp_path / "data", "models_dir": None, name: tmp_path / "file"}
        with pytest.raises(ConfigurationError, match=f"{name}: the folder '.*file' cannot be made: File exists"):
            make_folders(Settings(**folders))


class TestEngines:
    def test_each_is_told_its_number_and_what_is_preloaded(self) -> None:
        settings = Settings(engines=4, preload="shapes, efficientnet-lite0")
        configs = [engine_config(settings, number) for number in range(4)]
        assert [(config.number, config.engines) for config in configs] == [(number, 4) for number in range(4)]
        assert {config.preload for config in configs} == {("shapes", "efficientnet-lite0")}

    def test_the_application_starts_nothing_by_itself(self, tmp_path: Path) -> None:
        app = create_app(Settings(data_dir=tmp_path / "data", engines=2))
        clients = app.state.services.engines.clients
        assert [client.supervisor.pid for client in clients] == [None, None]
        assert not (tmp_path / "data").exists()


class TestSecretFiles:
    @pytest.fixture
    def folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        monkeypatch.setenv("KERASCOPE_SECRETS_DIR", str(tmp_path))
        return tmp_path

    def test_keys_a_line_each(self, folder: Path) -> None:
        (folder / "kerascope_api_keys").write_text(f"{DIGEST}\n{DIGEST[:-1]}0\n")
        assert source("api_keys") == (f"{DIGEST}\n{DIGEST[:-1]}0", f"file {folder / 'kerascope_api_keys'}")
        assert len(load_settings(host="0.0.0.0").key_digests) == 2

    def test_the_environment_goes_first_and_toml_last(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        in_file(monkeypatch, folder, "port = 3")
        assert source("port")[0] == 3
        (folder / "kerascope_port").write_text("2\n")
        assert source("port") == (2, f"file {folder / 'kerascope_port'}")
        monkeypatch.setenv("KERASCOPE_PORT", "1")
        assert source("port") == (1, "environment KERASCOPE_PORT")

    def test_the_password_gets_into_the_url(self, folder: Path) -> None:
        (folder / "kerascope_database_password").write_text("a/b@c:d%\n")
        settings = load_settings(database_url="postgresql://ann@db:5432/jobs?x=@")
        assert settings.jobs_database == "postgresql://ann:a%2Fb%40c%3Ad%25@db:5432/jobs?x=@"
        assert jobs_config(settings).database_url == settings.jobs_database

    @pytest.mark.parametrize("url", ["", "postgresql://db/jobs", "postgresql://ann:pw@db/jobs", "sqlite:///x.db"])
    def test_a_password_without_a_place(self, folder: Path, url: str) -> None:
        (folder / "kerascope_database_password").write_text("hunter2")
        with pytest.raises(ConfigurationError, match="database_password: database_url must be postgresql") as found:
            load_settings(database_url=url)
        assert "hunter2" not in found.value.detail

    def test_what_is_no_setting(self, folder: Path) -> None:
        (folder / "kerascope_api_kyes").write_text(DIGEST)
        with pytest.raises(ConfigurationError, match="'kerascope_api_kyes', which is no setting.*kerascope_api_keys"):
            load_settings()

    def test_a_folder_that_is_not_there(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KERASCOPE_SECRETS_DIR", str(folder / "none"))
        with pytest.raises(ConfigurationError, match="KERASCOPE_SECRETS_DIR names .*none', which is no folder"):
            load_settings()


def test_split() -> None:
    assert split(" a, b ,,c ") == ["a", "b", "c"]
    assert split("") == []
