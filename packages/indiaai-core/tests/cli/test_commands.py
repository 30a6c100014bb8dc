"""The command line: what is installed, whether it works, and what is said where it does not."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from typer.testing import CliRunner

from indiaai_core import cli
from indiaai_core.cli import check as check_command
from indiaai_core.cli import output
from indiaai_core.cli.app import build_app
from installed import DICT_STORAGE, SitePackages

FAILING = DICT_STORAGE + "\n        async def check(self):\n            raise {error}\n"


def run(*arguments: str) -> tuple[int, str]:
    """Run the command line and return its status and what it printed."""
    result = CliRunner().invoke(build_app(), list(arguments))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, result.output


def run_json(*arguments: str) -> tuple[int, Any]:
    """Run the command line and return its status and the JSON it printed."""
    status, text = run(*arguments, "--json")
    return status, json.loads(text)


def test_the_command_line_is_also_the_module() -> None:
    """`python -m indiaai_core` does what the script does, where the script's folder is not on the path."""
    done = subprocess.run([sys.executable, "-m", "indiaai_core", "--version"], capture_output=True, text=True, check=True)

    assert done.stdout.startswith("indiaai ")


def test_plugins_lists_layers_and_what_is_selected(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every backend stands there with its distribution, version and capabilities, and which one is in use."""
    site.backend("local")
    site.backend(
        "acme", source=DICT_STORAGE.replace("def __init__", 'capabilities = frozenset({"list"})\n\n        def __init__', 1)
    )
    monkeypatch.setenv("STORAGE_TYPE", "acme")

    status, found = run_json("plugins", "--load")

    storage = {row["backend"]: row for row in found["backends"] if row["layer"] == "storage"}
    assert status == 0
    assert storage["acme"] == {
        "layer": "storage",
        "backend": "acme",
        "selected": True,
        "distribution": "acme-storage-acme",
        "version": "1.0",
        "capabilities": ["list"],
        "error": None,
    }
    assert not storage["local"]["selected"]


def test_plugins_shows_what_does_not_load_and_what_is_missing(site: SitePackages) -> None:
    """A broken backend, a selected one that is not installed, a broken layer and a broken file each stand there."""
    site.backend("broken", source="raise RuntimeError('boom')")
    site.install("bad-layer", entry_points="[indiaai.layers]\nsearch = not_there:LAYER\n")
    (site.install("bad-file") / "entry_points.txt").write_bytes(b"[indiaai.storage]\n\xff\xfe\n")

    _, found = run_json("plugins", "--load")

    errors = {row["backend"]: row["error"] for row in found["backends"]}
    assert "RuntimeError: boom" in errors["broken"]
    assert "pip install indiaai-storage-local" in errors["local"]
    assert any("bad-file" in problem for problem in found["problems"])
    assert any("'search'" in problem for problem in found["problems"])


def test_plugins_loads_no_backend_unless_it_is_asked_to(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is installed is known from metadata, also that what is selected is not: no library is waited for."""
    site.backend("broken", source="raise RuntimeError('boom')")
    monkeypatch.setenv("STORAGE_TYPE", "brokn")

    status, found = run_json("plugins")

    storage = {row["backend"]: row for row in found["backends"] if row["layer"] == "storage"}
    assert status == 0
    assert (storage["broken"]["version"], storage["broken"]["capabilities"], storage["broken"]["error"]) == ("1.0", None, None)
    assert "broken" in storage["brokn"]["error"]


def test_plugins_is_not_alarmed_by_what_nobody_selected(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A default that is not installed, and a broken backend beside the selected one, are no errors; a selected one is."""
    site.backend("acme")
    site.backend("broken", source="raise RuntimeError('boom')")
    _, unset = run("plugins", "--load")
    monkeypatch.setenv("STORAGE_TYPE", "acme")
    _, chosen = run("plugins", "--load")
    monkeypatch.setenv("STORAGE_TYPE", "broken")
    _, broken = run("plugins", "--load")
    monkeypatch.setenv("STORAGE_TYPE", "nowhere")
    _, missing = run("plugins", "--load")

    assert "ERROR" not in unset + chosen
    assert "storage\tlocal\t\t\t\tnot installed and not selected" in unset
    assert "not selected, and would not load: " in chosen
    assert "storage\tbroken\tselected\tacme-storage-broken\t1.0\tERROR: " in broken
    assert "storage\tnowhere\tselected\t\t\tERROR: STORAGE_TYPE='nowhere'" in missing


def test_plugins_prints_lines_for_a_pipe_and_a_table_for_a_person(
    site: SitePackages, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In a pipe each row is one line with tabs; on a terminal it is a table."""
    site.backend("local")
    site.backend("broken", source="raise RuntimeError('boom')")

    _, piped = run("plugins", "--load")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    output.print_table(["name", "state"], [["local", "fine"], ["broken", "ERROR: boom"]])

    assert "storage\tlocal\tselected\tacme-storage-local\t1.0\t\n" in piped
    table = capsys.readouterr().out
    assert "local" in table
    assert "ERROR: boom" in table
    assert "\t" not in table


def test_check_makes_a_round_trip_through_each_selected_backend(site: SitePackages) -> None:
    """All is well: status 0, and each backend named."""
    site.backend("local")

    status, text = run("check")

    assert status == 0
    assert "ok   settings: storage=Backend" in text
    assert "ok   storage: Backend: round trip in" in text


@pytest.mark.parametrize(
    ("error", "shown", "remedy"),
    [
        ("RuntimeError('boom')", "RuntimeError: boom", "see the backend's page"),
        (
            "__import__('indiaai_core').BackendUnavailable('no answer from 127.0.0.1')",
            "no answer from",
            "see that it runs",
        ),
        (
            "(core := __import__('indiaai_core')).InvalidSettings([core.Fault('ACME_X', 'bad', 'good', 'mend it')])",
            "ACME_X: bad, expected good",
            "mend it",
        ),
    ],
)
def test_check_fails_with_the_remedy(site: SitePackages, error: str, shown: str, remedy: str) -> None:
    """A backend that does not serve: status 1, what happened and what to do."""
    site.backend("local", source=FAILING.replace("{error}", error))

    status, found = run_json("check")

    [_, storage] = found["checks"]
    assert (status, found["ok"], storage["is_ok"]) == (1, False, False)
    assert shown in storage["detail"]
    assert remedy in storage["remedy"]


def test_check_gives_up_on_a_backend_that_hangs(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """A backend that does not answer is a failure and not a wait without end."""
    monkeypatch.setattr(check_command, "PROBE_TIMEOUT_SECONDS", 0.05)
    hanging = (
        "import anyio\n"
        + DICT_STORAGE.replace("\n    ", "\n")
        + "\n    async def check(self):\n        await anyio.sleep(60)\n"
    )
    site.backend("local", source=hanging)

    status, text = run("check")

    assert status == 1
    assert "FAIL storage: Backend: no answer within 0.05 s" in text
    assert "to mend it: see that it runs" in text


def test_check_names_every_fault_of_the_configuration(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is wrong before anything could be tried is listed by variable, with the line that mends it."""
    monkeypatch.setenv("STORAGE_TYPE", "r2")
    monkeypatch.setenv("QUEUE_TYPE", "redis")

    status, text = run("check")

    assert status == 1
    assert "FAIL STORAGE_TYPE: 'r2' is not installed" in text
    assert "pip install indiaai-storage-r2" in text
    assert "pip install indiaai-queue-redis" in text


def test_check_says_an_error_without_faults_whole(site: SitePackages) -> None:
    """A stranger's configuration error that lists no faults is shown as it is."""
    settings = """
        class settings_class:
            def __init__(self):
                from indiaai_core import ConfigurationError
                raise ConfigurationError("everything is wrong")
"""
    site.backend("local", source=DICT_STORAGE + settings)

    status, text = run("check")

    assert status == 1
    assert "FAIL settings: everything is wrong" in text


def test_check_says_that_nothing_is_selected(site: SitePackages) -> None:
    """An installation of the core alone has nothing to check, and says so."""
    status, text = run("check")

    assert status == 0
    assert "no layer is selected" in text


def test_check_names_another_package_s_malformed_metadata(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stops other libraries' starts is named; it does not fail the check."""
    (site.install("broken") / "entry_points.txt").write_bytes(b"[x]\n\xff\xfe\n")

    status, text = run("check")

    assert status == 0
    assert "note broken: malformed" in text


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """A terminal gets colours; a pipe, or anybody who sets `NO_COLOR`, gets plain text."""
    output.print_check("a", "b", is_ok=True)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.delenv("NO_COLOR", raising=False)
    output.print_check("a", "b", is_ok=True)
    monkeypatch.setenv("NO_COLOR", "1")
    output.print_check("a", "b", is_ok=True, remedy="not shown")

    plain, coloured, no_color = capsys.readouterr().out.splitlines()
    assert plain == no_color == "ok   a: b"
    assert coloured == "\x1b[32mok  \x1b[0m a: b"


def test_plugins_may_add_commands(site: SitePackages) -> None:
    """A hook adds a command, and it is there."""
    source = (
        "from indiaai_core import hookimpl\n@hookimpl\ndef add_commands(app):\n    @app.command('acme')\n"
        "    def acme(): print('from acme')\n"
    )
    site.install("acme-cli", entry_points="[indiaai.hooks]\nacme = acme_cli_m\n", modules={"acme_cli_m": source})

    assert run("acme") == (0, "from acme\n")


def test_the_script_prints_the_version(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """`indiaai --version` answers at once, without the commands' imports."""
    monkeypatch.setattr(sys, "argv", ["indiaai", "--version"])

    cli.main()

    assert capsys.readouterr().out.startswith("indiaai 0.")


def test_the_version_is_printed_without_what_the_commands_need() -> None:
    """No event loop, no settings library, no worker and no command is imported for it: it is there in a tenth of a second."""
    program = "import sys; sys.argv = ['indiaai', '--version']\nfrom indiaai_core.cli import main; main(); print(*sys.modules)"

    printed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60).stdout

    loaded = set(printed.split())
    assert "indiaai_core.cli.version" in loaded
    assert not loaded & {"asyncio", "anyio", "pydantic", "typer", "rich", "watchfiles", "logging"}
    assert not [name for name in loaded if name.startswith(("indiaai_core.worker", "indiaai_core.cli.queue"))]


def test_the_script_runs_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], site: SitePackages
) -> None:
    """Without an option of its own the script hands over to the commands."""
    monkeypatch.setattr(sys, "argv", ["indiaai", "plugins", "--json"])

    with pytest.raises(SystemExit) as caught:
        cli.main()

    assert caught.value.code == 0
    assert "backends" in json.loads(capsys.readouterr().out)


def test_help_comes_without_a_command() -> None:
    """The bare command shows what there is."""
    result = CliRunner().invoke(build_app(), [])

    assert "plugins" in result.output


def test_the_version_is_an_option_of_the_commands_too() -> None:
    """`--version` beside other arguments answers like alone."""
    status, text = run("--version", "plugins")

    assert status == 0
    assert text.startswith("indiaai 0.")


def test_without_the_extra_the_script_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bare core has no typer: the script names the extra and ends with status 2."""
    monkeypatch.setattr(sys, "argv", ["indiaai", "plugins"])
    monkeypatch.delitem(sys.modules, "indiaai_core.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "typer", None)

    with pytest.raises(SystemExit) as caught:
        cli.main()

    assert caught.value.code == 2
    assert 'pip install "indiaai-core[cli]"' in capsys.readouterr().err


def test_another_missing_module_is_not_blamed_on_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """A broken installation is not called a missing extra."""
    monkeypatch.setattr(sys, "argv", ["indiaai", "plugins"])
    monkeypatch.delitem(sys.modules, "indiaai_core.cli.app", raising=False)
    monkeypatch.setitem(sys.modules, "indiaai_core.platform", None)

    with pytest.raises(ModuleNotFoundError):
        cli.main()


@pytest.mark.parametrize("command", [[], ["queue"], ["storage"], ["check"]])
def test_help_in_a_pipe_is_whole(command: list[str]) -> None:
    """There are no boxes in it, and no line is cut to the width of a terminal that is not there."""
    status, text = run(*command, "--help")

    assert status == 0
    assert not set("╭│╰…") & set(text)
    assert "..." not in text.replace("ID...", "").replace("]...", "").replace("KEY...", "")


@pytest.mark.parametrize("argument", ["--version", "plugins"])
def test_a_reader_that_is_gone_is_no_error(
    argument: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, site: SitePackages
) -> None:
    """What was printed cannot be given to anybody: the script ends with status 1, and says nothing."""
    with (tmp_path / "gone").open("w", encoding="utf-8") as gone:

        class Gone(io.StringIO):
            def flush(self) -> None:
                raise BrokenPipeError

            def fileno(self) -> int:
                return gone.fileno()

        monkeypatch.setattr(sys, "argv", ["indiaai", argument])
        monkeypatch.setattr(sys, "stdout", Gone())

        with pytest.raises(SystemExit) as caught:
            cli.main()

    assert caught.value.code == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
@pytest.mark.parametrize("command", ["plugins", "plugins --json", "--version", "--help"])
def test_what_cannot_be_written_is_said(command: str) -> None:
    """To a full disk, for example: status 1, one line, and no traceback."""
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = _as_a_process(*command.split(), stdout=full)

    assert done.returncode == 1
    assert done.stderr == "What is to be printed cannot be written: No space left on device.\n"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no sh that closes a stream")
@pytest.mark.parametrize("command", ["plugins", "--version"])
def test_a_standard_output_that_was_closed_is_no_error(command: str) -> None:
    """As by a service that keeps no output."""
    program = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "indiaai_core", command]

    done = subprocess.run(program, capture_output=True, text=True, timeout=60, check=False)

    assert (done.returncode, done.stderr) == (0, "")


def test_a_file_of_variables_that_cannot_be_read_is_one_error(tmp_path: Path) -> None:
    """Of a command, too, that needs nothing of it: the file, the reason and what to do."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe=1")

    done = _as_a_process("plugins", folder=tmp_path)

    assert done.returncode == 1
    assert "mend or remove .env" in done.stderr
    assert "Traceback" not in done.stderr


def _as_a_process(
    *arguments: str, folder: Path | None = None, stdout: IO[str] | None = None
) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "indiaai_core", *arguments]
    output = subprocess.PIPE if stdout is None else stdout
    return subprocess.run(
        program, cwd=folder, stdout=output, stderr=subprocess.PIPE, text=True, encoding="utf-8", timeout=60, check=False
    )
