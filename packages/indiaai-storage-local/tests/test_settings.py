"""The settings are read from LOCAL_STORAGE_*, and what is wrong with them is said with the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from indiaai_core.errors import InvalidSettings
from indiaai_storage_local import LocalSettings, LocalStorageService


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_nothing_needs_to_be_set() -> None:
    """The defaults are a directory of the working directory, durable, with a secret of its own."""
    settings = LocalSettings()

    assert settings.path == Path("data/storage")
    assert (settings.fsync, settings.url_secret, settings.public_url) == (True, None, "")
    assert settings.max_upload_bytes == 5 * 1024**3


def test_every_setting_is_a_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A service made by hand reads its settings from the environment."""
    values = {
        "PATH": str(tmp_path / "here"),
        "FSYNC": "off",
        "URL_SECRET": "sixteen letters!",
        "PUBLIC_URL": "http://localhost:8000/",
        "MAX_UPLOAD_BYTES": "1000",
    }
    for name, value in values.items():
        monkeypatch.setenv(f"LOCAL_STORAGE_{name}", value)

    settings = LocalStorageService().settings

    assert (settings.path, settings.fsync, settings.max_upload_bytes) == (tmp_path / "here", False, 1000)
    assert settings.public_url == "http://localhost:8000"
    assert settings.url_secret is not None
    assert settings.url_secret.get_secret_value() == "sixteen letters!"


def test_every_fault_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names every variable, what is expected, and no secret."""
    for name, value in {
        "PATH": " ",
        "FSYNC": "maybe",
        "URL_SECRET": "short-secret",
        "PUBLIC_URL": "localhost",
        "MAX_UPLOAD_BYTES": "0",
    }.items():
        monkeypatch.setenv(f"LOCAL_STORAGE_{name}", value)

    with pytest.raises(InvalidSettings) as raised:
        LocalSettings()

    assert {fault.variable for fault in raised.value.faults} == {
        f"LOCAL_STORAGE_{name}" for name in ("PATH", "FSYNC", "URL_SECRET", "PUBLIC_URL", "MAX_UPLOAD_BYTES")
    }
    assert "short-secret" not in str(raised.value)


def test_a_path_may_begin_with_the_users_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`~` is expanded, as a shell would have."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    service = LocalStorageService(LocalSettings(path=Path("~/objects")))

    assert service.address("key") == "/_indiaai/storage/default/key"
    assert not (tmp_path / "objects").exists()
