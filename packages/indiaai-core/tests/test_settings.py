"""Backends' settings: where they are read, and what is said of those that are wrong."""

from __future__ import annotations

import importlib.util
import logging
import subprocess
import sys
from pathlib import Path
from typing import Literal

import pytest
from pydantic import AliasChoices, Field, SecretStr, model_validator

from indiaai_core.environment import Environment
from indiaai_core.errors import Fault, InvalidSettings
from indiaai_core.settings import BackendSettings, SettingsConfigDict, field_variables, load_settings


class AcmeSettings(BackendSettings):
    """Settings of a backend that does not exist."""

    model_config = SettingsConfigDict(env_prefix="ACME_")

    bucket_name: str = Field(description="the bucket's name")
    token: SecretStr = SecretStr("")
    pool_size: int = Field(default=4, ge=1)
    mode: Literal["fast", "safe"] = "safe"
    region: str = Field(default="auto", validation_alias=AliasChoices("ACME_REGION", "AWS_REGION"))
    zone: str = Field(default="a", validation_alias="ACME_ZONE")

    @model_validator(mode="after")
    def _fast_needs_a_pool(self) -> AcmeSettings:
        if self.mode == "fast" and self.pool_size < 2:
            raise ValueError("fast needs a pool of 2")
        return self


def test_a_field_is_read_from_the_variable_with_the_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings made by hand read what they are not given from the environment."""
    monkeypatch.setenv("ACME_BUCKET_NAME", "docs")

    settings = AcmeSettings.model_validate({"pool_size": 9})

    assert (settings.bucket_name, settings.pool_size) == ("docs", 9)


def test_the_dotenv_file_is_read_too(tmp_path: Path) -> None:
    """A variable may stand in `.env`."""
    (tmp_path / ".env").write_text("ACME_BUCKET_NAME=docs\n", encoding="utf-8")

    assert load_settings(AcmeSettings, Environment.read()).bucket_name == "docs"


def test_all_faults_come_in_one_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every variable at fault is named, with what was found and what is expected."""
    monkeypatch.setenv("ACME_POOL_SIZE", "many")
    monkeypatch.setenv("ACME_MODE", "x" * 200)

    with pytest.raises(InvalidSettings) as caught:
        load_settings(AcmeSettings, Environment.read())

    assert [fault.variable for fault in caught.value.faults] == ["ACME_BUCKET_NAME", "ACME_POOL_SIZE", "ACME_MODE"]
    assert "ACME_BUCKET_NAME: not set, expected a value (the bucket's name)" in str(caught.value)
    assert "ACME_POOL_SIZE: 'many', expected" in str(caught.value)
    assert "x" * 100 not in str(caught.value)


@pytest.mark.parametrize(
    ("instance", "variables", "remedy"),
    [
        (None, {"ACME_BUKET_NAME": "b"}, "ACME_BUKET_NAME is set: rename it to ACME_BUCKET_NAME if that is what was meant"),
        ("old", {"OLD_ACME_BUCKETNAME": "b"}, "OLD_ACME_BUCKETNAME is set: rename it to OLD_ACME_BUCKET_NAME"),
        (None, {"ACME_POOL_SIZE": "2", "ACME_TOKEN": "t", "OTHER": "x"}, ""),
    ],
)
def test_a_variable_that_is_not_set_is_sought_among_those_that_are(
    instance: str | None, variables: dict[str, str], remedy: str
) -> None:
    """Who misspelt a variable that must be set hears how it is written, in the same error."""
    with pytest.raises(InvalidSettings) as caught:
        load_settings(AcmeSettings, Environment.read(variables).for_instance(instance))

    assert remedy in str(caught.value)
    assert ("rename" in str(caught.value)) == bool(remedy)


def test_a_secret_is_never_shown() -> None:
    """Neither the error, nor its cause, nor a repr holds a secret's value."""
    with pytest.raises(InvalidSettings) as caught:
        AcmeSettings.model_validate({"bucket_name": "b", "token": ["hunter2"]})

    assert "hunter2" not in str(caught.value) + repr(caught.value.faults)
    assert "a secret (not shown)" in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__
    assert "hunter2" not in repr(AcmeSettings(bucket_name="b", token=SecretStr("hunter2")))


def test_an_argument_at_fault_is_named_as_an_argument() -> None:
    """What was given in code is not blamed on a variable."""
    with pytest.raises(InvalidSettings, match=r"AcmeSettings\(pool_size=…\): 0, expected"):
        AcmeSettings(bucket_name="b", pool_size=0)


def test_an_unknown_argument_is_refused() -> None:
    """A misspelt argument is an error and not silence."""
    with pytest.raises(InvalidSettings, match="bukket_name"):
        AcmeSettings.model_validate({"bucket_name": "b", "bukket_name": "c"})


def test_a_fault_of_the_whole_names_the_class() -> None:
    """What no single variable is to blame for is said of the settings as a whole."""
    with pytest.raises(InvalidSettings, match="AcmeSettings: the settings do not go together, expected fast needs a pool of 2"):
        AcmeSettings(bucket_name="b", mode="fast", pool_size=1)


def test_an_alias_is_the_variable_that_is_named() -> None:
    """A field with aliases is read from any of them and named by the first."""
    assert field_variables(AcmeSettings)["region"] == ("ACME_REGION", "AWS_REGION")
    assert field_variables(AcmeSettings)["zone"] == ("ACME_ZONE",)
    assert field_variables(AcmeSettings)["bucket_name"] == ("ACME_BUCKET_NAME",)


def test_a_fault_under_an_alias_names_the_variable() -> None:
    """Pydantic reports the alias; the error names the variable."""
    environment = Environment.read({"ACME_BUCKET_NAME": "b"})

    with pytest.raises(InvalidSettings, match=r"ACME_ZONE|AcmeSettings\(zone"), environment.activate():
        AcmeSettings.model_validate({"ACME_ZONE": 3})


def test_a_named_instance_names_its_own_variable() -> None:
    """The fault of the instance `archive` is found under `ARCHIVE_…`."""
    environment = Environment.read({"ARCHIVE_ACME_POOL_SIZE": "many", "ACME_BUCKET_NAME": "b"}).for_instance("archive")

    with pytest.raises(InvalidSettings, match="ARCHIVE_ACME_POOL_SIZE: 'many'"):
        load_settings(AcmeSettings, environment)


@pytest.mark.parametrize(
    ("given", "named"), [("ARCHIVE_ACME_BUCKET_NAME", "ARCHIVE_ACME_BUCKET_NAME"), ("ACME_BUCKET_NAME",) * 2]
)
def test_what_a_backend_says_names_the_variable_that_gave_the_value(given: str, named: str) -> None:
    """The instance's own where that is set, else the bare one that it fell back to; one that nobody set would be its own."""
    settings = load_settings(AcmeSettings, Environment.read({named: "bills"}).for_instance("archive"))
    fault = Fault("ACME_BUCKET_NAME", "not there", "one that is", "make it, or set $ACME_BUCKET_NAME and ACME_ZONE")
    error = settings.renamed(InvalidSettings([fault]))

    (found,) = error.faults
    assert (found.variable, found.remedy) == (named, f"make it, or set ${named} and ARCHIVE_ACME_ZONE")
    assert f"\n  {named}: not there" in str(error)
    assert str(settings.renamed(error)) == str(error)
    assert settings.variables("ACME_BUCKET_NAMES, ACME_…") == "ACME_BUCKET_NAMES, ARCHIVE_ACME_…"


def test_a_wrong_value_is_blamed_on_the_variable_that_it_came_from() -> None:
    """An instance that falls back to a bare variable does not send anybody to one that is not set."""
    environment = Environment.read({"ACME_POOL_SIZE": "many", "ACME_BUCKET_NAME": "b"}).for_instance("archive")

    with pytest.raises(InvalidSettings, match="\n  ACME_POOL_SIZE: 'many'"):
        load_settings(AcmeSettings, environment)


def test_the_main_instance_s_errors_stay_as_they_are() -> None:
    """Nothing is put into them."""
    settings = load_settings(AcmeSettings, Environment.read({"ACME_BUCKET_NAME": "bills"}))

    assert settings.variables("ACME_BUCKET_NAME") == "ACME_BUCKET_NAME"


def test_settings_that_say_the_same_are_equal() -> None:
    """It does not matter which variables said it."""
    given = {"ACME_BUCKET_NAME": "docs", "OLD_ACME_BUCKET_NAME": "docs", "NEW_ACME_POOL_SIZE": "9"}
    variables = Environment(given, dict.fromkeys(given, "environment"))
    old, main, new = (load_settings(AcmeSettings, variables.for_instance(name)) for name in ("old", None, "new"))

    assert old == main == AcmeSettings(bucket_name="docs")
    assert new != main
    assert main != "docs"
    assert hash(old) == hash(main)


def test_settings_do_not_change() -> None:
    """A service can rely on the settings it was made with."""
    settings = AcmeSettings(bucket_name="b")

    with pytest.raises(Exception, match="frozen"):
        settings.bucket_name = "c"


def test_another_package_s_malformed_metadata_does_not_stop_the_settings(tmp_path: Path) -> None:
    """Pydantic scans all entry points at its first model and fails on a malformed file; ours go on."""
    broken = tmp_path / "site" / "broken-1.0.dist-info"
    broken.mkdir(parents=True)
    (broken / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n", encoding="utf-8")
    (broken / "entry_points.txt").write_text("[x]\nthis line has no equals sign\n", encoding="utf-8")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import indiaai_core.settings as s; print(s.BackendSettings.__name__)"
    )

    run = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "site")], capture_output=True, text=True, timeout=60, check=False
    )

    assert run.stdout.strip() == "BackendSettings", run.stderr


def test_the_probe_s_failure_is_logged(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever wonders why pydantic's plugins are gone finds it in the debug log."""
    import pydantic

    from indiaai_core import settings

    def fail(_: str) -> None:
        raise ValueError("malformed entry point")

    monkeypatch.setattr(pydantic, "create_model", fail)
    spec = importlib.util.spec_from_file_location("settings_once_more", settings.__file__)
    assert spec is not None
    assert spec.loader is not None
    with caplog.at_level(logging.DEBUG, logger="indiaai"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))

    assert "malformed entry point" in caplog.text
