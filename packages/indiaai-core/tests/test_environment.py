"""The variables: which source wins, named instances, and a dotenv file that cannot be read."""

from __future__ import annotations

import builtins
from pathlib import Path

import pytest

from indiaai_core.environment import Environment
from indiaai_core.errors import InvalidSettings


def test_code_wins_over_the_environment_and_that_over_the_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each variable is read from the nearest source that has it, and says which that was."""
    (tmp_path / ".env").write_text("ACME_A=file\nACME_B=file\nACME_C=file\nACME_EMPTY\n", encoding="utf-8")
    monkeypatch.setenv("ACME_B", "environment")
    monkeypatch.setenv("ACME_C", "environment")

    environment = Environment.read({"ACME_C": "code", "ACME_PATH": Path("x")})

    assert [environment[name] for name in ("ACME_A", "ACME_B", "ACME_C", "ACME_PATH")] == ["file", "environment", "code", "x"]
    assert [environment.origin(name) for name in ("ACME_A", "acme_b", "ACME_C")] == [".env", "environment", "code"]
    assert environment.origin("ACME_EMPTY") is None


def test_names_do_not_tell_case() -> None:
    """`storage_type` and `STORAGE_TYPE` are one variable."""
    environment = Environment.read({"acme_type": "r2"})

    assert environment["ACME_TYPE"] == environment["acme_type"] == "r2"
    assert "ACME_TYPE" in list(environment)
    assert len(environment) > 0


def test_a_named_instance_reads_its_prefix_first() -> None:
    """`ARCHIVE_X` hides `X` for the instance `archive`, and what it does not set falls back to the bare name."""
    environment = Environment.read({"ACME_X": "bare", "ARCHIVE_ACME_X": "own", "ACME_Y": "bare", "ARCHIVE_": "odd"})

    archive = environment.for_instance("archive")

    assert (archive["ACME_X"], archive["ACME_Y"]) == ("own", "bare")
    assert archive.variable("acme_x") == "ARCHIVE_ACME_X"
    assert environment.for_instance(None) is environment
    assert environment.variable("ACME_X") == "ACME_X"


def test_the_file_may_have_a_byte_order_mark(tmp_path: Path) -> None:
    """A file that Windows' editor saved reads like any other."""
    (tmp_path / ".env").write_bytes("ACME_A=अ\n".encode("utf-8-sig"))

    assert Environment.read()["ACME_A"] == "अ"


def test_a_folder_called_env_is_nobody_s_fault(tmp_path: Path) -> None:
    """A virtual environment in `.env` does not stop the start."""
    (tmp_path / ".env").mkdir()

    assert "ACME_A" not in Environment.read()


def test_a_file_that_is_not_text_is_a_fault_that_names_it(tmp_path: Path) -> None:
    """A dotenv file in another encoding stops the start with one clear error."""
    (tmp_path / ".env").write_bytes(b"ACME_A=\xff\xfe\n")

    with pytest.raises(InvalidSettings, match=r"\.env: the file cannot be read \(it is not UTF-8\)"):
        Environment.read()


def test_a_file_without_permission_is_a_fault_that_names_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A dotenv file that the process may not read stops the start with one clear error."""
    (tmp_path / ".env").write_text("ACME_A=1\n", encoding="utf-8")

    def refuse(*_: object, **__: object) -> None:  # root may read everything, so permissions alone would not show it
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(builtins, "open", refuse)

    with pytest.raises(InvalidSettings, match=r"\.env: the file cannot be read \(Permission denied\)"):
        Environment.read()


def test_its_repr_shows_no_value() -> None:
    """The environment holds other people's secrets, and shows none."""
    environment = Environment.read({"ACME_PASSWORD": "hunter2"})

    assert "hunter2" not in repr(environment)


def test_the_active_environment_is_the_one_settings_read() -> None:
    """Within `activate` settings are made from that environment, and after it from the process's again."""
    environment = Environment.read({"ACME_A": "chosen"})

    with environment.activate():
        assert Environment.current() is environment
    assert "ACME_A" not in Environment.current()
