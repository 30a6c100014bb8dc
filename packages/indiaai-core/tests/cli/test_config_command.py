"""`indiaai config`: what every setting is and where it came from, and that no secret is shown."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from indiaai_core.cli.app import build_app
from installed import DICT_STORAGE, SitePackages

SETTINGS = """
    from pydantic import SecretStr
    from indiaai_core.settings import BackendSettings, SettingsConfigDict

    class AcmeSettings(BackendSettings):
        model_config = SettingsConfigDict(env_prefix="ACME_")
        url: str
        key: SecretStr
        session: SecretStr = SecretStr("")
        token: str = ""
        size: int = 5
        fsync: bool = True
        place: str | None = None
"""
SOURCE = SETTINGS + DICT_STORAGE.replace(
    "def __init__(self):", "settings_class = AcmeSettings\n\n        def __init__(self, settings):", 1
)
SECRETS = {"ACME_KEY": "hunter2", "ACME_TOKEN": "hunter3", "ACME_URL": "acme://me:hunter4@example.org/x"}


@pytest.fixture
def acme(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend with settings of all kinds, selected and set up."""
    site.backend("acme", source=SOURCE)
    monkeypatch.setenv("STORAGE_TYPE", "acme")
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)


def config(*, status: int = 0) -> dict[str, Any]:
    """Run the command, and return what it says."""
    result = CliRunner().invoke(build_app(), ["config", "--json"])
    assert isinstance(result.exception, SystemExit | None), result.exception
    assert result.exit_code == status, result.output
    assert "hunter" not in result.output
    return dict(json.loads(result.stdout))


def lines(found: dict[str, Any], service: str = "storage") -> dict[str, tuple[str, str]]:
    """Return value and origin of each variable of a service."""
    return {one["variable"]: (one["value"], one["origin"]) for one in found["settings"] if one["service"] == service}


@pytest.mark.usefixtures("acme")
def test_each_setting_has_its_value_and_where_it_came_from(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The environment wins over `.env`, and that over the default; secrets are masked, in URLs, too."""
    (tmp_path / ".env").write_text("ACME_SIZE=7\nACME_FSYNC=no\nSTORAGE_TYPE=other\n")
    monkeypatch.setenv("ACME_FSYNC", "yes")

    found = config()

    assert lines(found) == {
        "STORAGE_TYPE": ("acme", "environment"),
        "ACME_URL": ("acme://me:********@example.org/x", "environment"),
        "ACME_KEY": ("********", "environment"),
        "ACME_SESSION": ("", "default"),
        "ACME_TOKEN": ("********", "environment"),
        "ACME_SIZE": ("7", ".env"),
        "ACME_FSYNC": ("true", "environment"),
        "ACME_PLACE": ("", "default"),
    }
    assert (found["faults"], found["warnings"]) == ([], [])


@pytest.mark.usefixtures("acme")
def test_a_named_instance_says_which_variable_it_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its own variable where there is one, else the bare one; what is not set is named as it would be set."""
    monkeypatch.setenv("ARCHIVE_STORAGE_TYPE", "acme")
    monkeypatch.setenv("ARCHIVE_ACME_SIZE", "9")

    found = lines(config(), "storage:archive")

    assert found["ARCHIVE_ACME_SIZE"] == ("9", "environment")
    assert found["ACME_KEY"] == ("********", "environment")
    assert found["ARCHIVE_ACME_PLACE"] == ("", "default")


@pytest.mark.usefixtures("acme")
def test_what_stands_in_front_of_a_backend_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wrappers' settings come behind the backend: all of one that says what it reads, else what is given."""
    import indiaai_core.wrappers.retry as loaded  # not by its name: no wrapper is installed on this test's path

    monkeypatch.setenv("STORAGE_WRAPPERS", "retry,unheard")
    monkeypatch.setenv("STORAGE_RETRY_ATTEMPTS", "4")
    monkeypatch.setenv("STORAGE_UNHEARD_OF", "1")

    found = lines(config(status=1))

    own = [f"STORAGE_RETRY_{name.upper()}" for name in loaded.RetrySettings.model_fields]
    assert list(found)[:6] == ["STORAGE_TYPE", "STORAGE_WRAPPERS", *own, "STORAGE_UNHEARD_OF"]
    assert found["STORAGE_RETRY_ATTEMPTS"] == ("4", "environment")
    assert found["STORAGE_RETRY_SECONDS"] == ("0.2", "default")


@pytest.mark.usefixtures("acme")
def test_what_is_wrong_is_said_beside_what_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """A setting that lacks and one that is wrong: status 1, each told as a fault, the values as they stand there."""
    monkeypatch.delenv("ACME_URL")
    monkeypatch.setenv("ACME_SIZE", "large")
    monkeypatch.setenv("ACME_SZE", "1")

    found = config(status=1)

    assert lines(found)["ACME_URL"] == ("(not set, and needed)", "default")
    assert lines(found)["ACME_SIZE"] == ("large", "environment")
    assert lines(found)["ACME_KEY"] == ("********", "environment")
    assert [fault["variable"] for fault in found["faults"]] == ["ACME_URL", "ACME_SIZE"]


def test_a_backend_that_is_not_there_has_one_line(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What selects it is shown, and what is wrong with that."""
    monkeypatch.setenv("STORAGE_TYPE", "r2")

    found = config(status=1)

    assert lines(found) == {"STORAGE_TYPE": ("r2", "environment")}
    assert "pip install indiaai-storage-r2" in found["faults"][0]["remedy"]


@pytest.mark.usefixtures("acme")
def test_people_get_a_table_and_pipes_get_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each setting is one line with tabs in a pipe; what is wrong goes to the error stream."""
    monkeypatch.setenv("STORAGE_TPYE", "acme")

    result = CliRunner().invoke(build_app(), ["config"])

    assert result.stdout.splitlines()[:2] == ["service\tvariable\tvalue\tfrom", "storage\tSTORAGE_TYPE\tacme\tenvironment"]
    assert result.stderr.startswith("Warning: STORAGE_TPYE: no setting has this name")


def test_an_env_file_that_cannot_be_read_is_said(site: SitePackages, tmp_path: Path) -> None:
    """Without it nothing else would be right."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    result = CliRunner().invoke(build_app(), ["config"])

    assert (result.exit_code, ".env: the file cannot be read" in result.stderr) == (1, True)


@pytest.mark.usefixtures("acme")
def test_settings_that_are_wrong_show_no_secret_in_the_table(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the lines nor the complaints have one."""
    monkeypatch.setenv("ACME_SIZE", "large")

    result = CliRunner().invoke(build_app(), ["config"])

    assert result.exit_code == 1
    assert "hunter" not in result.stdout + result.stderr
