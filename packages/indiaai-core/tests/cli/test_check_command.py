"""`indiaai check`: each fault that it promises to find, put into a healthy set-up one at a time."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from indiaai_core.cli import check as check_command
from indiaai_core.cli.app import build_app
from installed import DICT_STORAGE, SETTLED, SitePackages

TELLS = """
        async def caveats(self):
            return [core.Fault("ACME_URL", "forgets", "one that keeps", "mend it")]
"""
SETTLED_PROBE = f"""
        async def probe(self):
            import os
            if "IS_SERVED" not in os.environ:
                await self.check()
{TELLS}"""
WITH_CAVEAT = "\n    import indiaai_core as core\n" + DICT_STORAGE + TELLS
FORBIDDING = """
    import indiaai_core as core
    {storage}
        capabilities = frozenset({{"list"}})

        def list(self, prefix="", *, limit=None):
            return self._list()

        async def _list(self):
            for _ in ():
                yield None

    class Backend(Backend):
        pass

    async def refuse(*_, **__):
        raise core.ConfigurationError("refused", faults=[core.Fault("ACME_TOKEN", "AccessDenied", "a right", "make a token")])

    async def refuse_to_list(*_, **__):
        await refuse()
        yield None

    for name in {names}:
        setattr(Backend, name, refuse_to_list if name == "list" else refuse)
"""


def check(*arguments: str) -> tuple[int, list[dict[str, Any]]]:
    """Run the checks, and return the status and what they found."""
    result = CliRunner().invoke(build_app(), ["check", "--json", *arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.exit_code, json.loads(result.stdout)["checks"]


def failed(*arguments: str) -> dict[str, Any]:
    """Run the checks, of which exactly one fails, and return that."""
    status, found = check(*arguments)
    (result,) = [one for one in found if not one["is_ok"]]
    assert status == 1
    return result


def editable(site: SitePackages, folder: Path, name: str, *, installed: str, stated: str) -> None:
    """Install a distribution from a folder, whose pyproject.toml then says something else."""
    metadata = site.install(name, entry_points=installed)
    (metadata / "direct_url.json").write_text(json.dumps({"url": folder.as_uri(), "dir_info": {"editable": True}}))
    folder.mkdir()
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{name}"\nversion = "1.0"\n{stated}', "utf-8")


@pytest.mark.parametrize("strict", [[], ["--strict"]])
def test_a_healthy_set_up_alarms_nobody(site: SitePackages, strict: list[str]) -> None:
    """All that is there is ok: no failure, no warning, no note."""
    site.backend("local")

    status, found = check(*strict)

    assert status == 0
    assert [one["name"] for one in found] == ["settings", "storage"]
    assert not any(one["is_caveat"] for one in found)


def test_a_backend_that_is_missing_is_found(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The line that installs it is the remedy."""
    monkeypatch.setenv("STORAGE_TYPE", "r2")

    assert failed()["remedy"] == "to install it: pip install indiaai-storage-r2"


def test_a_backend_that_is_misspelt_is_found(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name that was probably meant is said."""
    site.backend("acme")
    monkeypatch.setenv("STORAGE_TYPE", "acne")

    found = failed()

    assert found["name"] == "STORAGE_TYPE"
    assert "did you mean 'acme'?" in found["detail"]


def test_a_backend_that_two_claim_is_found(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both are named, and how one is pinned."""
    site.backend("acme", distribution="acme-one")
    site.backend("acme", distribution="acme-two")
    monkeypatch.setenv("STORAGE_TYPE", "acme")

    found = failed()

    assert "claimed by acme-one and acme-two" in found["detail"]
    assert "STORAGE_TYPE=acme@acme-one" in found["remedy"]


def test_a_backend_of_another_contract_is_found(site: SitePackages) -> None:
    """The side to upgrade is named."""
    site.backend("local", source=DICT_STORAGE.replace("def __init__", "contract_version = 0\n\n        def __init__", 1))

    found = failed()

    assert found["detail"] == "storage contract version 0, expected version 1"
    assert "pip install --upgrade acme-storage-local" in found["remedy"]


def test_a_backend_built_for_another_core_is_found(site: SitePackages) -> None:
    """What its metadata asks for and what is installed stand side by side."""
    metadata = site.backend("local")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme\nVersion: 1.0\nRequires-Dist: indiaai-core>=9\n")

    assert "pip install --upgrade indiaai-core acme-storage-local" in failed()["remedy"]


@pytest.mark.parametrize(
    ("requirement", "found"), [("anyio<1", "anyio 4."), ("not-there-at-all>=2", "not-there-at-all is not installed")]
)
def test_a_requirement_that_is_not_met_is_found(site: SitePackages, requirement: str, found: str) -> None:
    """A library in another version than the backend needs, or none, is named with the line that brings it."""
    metadata = site.backend("local")
    needs = "".join(f"Requires-Dist: {line}\n" for line in (requirement, "pluggy>=1", "gone; extra == 'x'", "no requirement"))
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n{needs}")

    result = failed()

    assert result["name"] == "acme-storage-local"
    assert result["detail"].startswith(found)
    assert result["remedy"] == f'pip install "{requirement}"'


def needing(site: SitePackages, *requires: str) -> None:
    """Install a backend whose distribution needs these."""
    metadata = site.backend("local")
    needs = "".join(f"Requires-Dist: {line}\n" for line in requires)
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: 1.0\n{needs}")


def test_what_a_requirement_needs_and_is_not_there_is_found(site: SitePackages) -> None:
    """Two steps away, and behind an extra that was asked for on the way; a circle ends."""
    site.install("acme-lib", requires=("acme-far[fast] >=1", "acme-odd; extra == 'unasked'"))
    site.install("acme-far", requires=("acme-lib", "acme-quick >=2; extra == 'fast'", "acme-slow; extra == 'slow'"))
    needing(site, "acme-lib")

    result = failed()

    assert (result["name"], result["detail"]) == (
        "acme-far",
        "acme-quick is not installed, expected acme-quick>=2, which it needs",
    )
    assert result["remedy"] == 'pip install "acme-quick>=2"'


def test_another_s_pin_that_was_overridden_is_a_warning(site: SitePackages) -> None:
    """Whoever did it may have known; it fails those who are strict."""
    site.install("acme-lib", requires=("acme-far <2",))
    site.install("acme-far", version="2.1")
    needing(site, "acme-lib")

    status, found = check()

    assert status == 0
    (caveat,) = [one for one in found if one["is_caveat"]]
    assert (caveat["name"], caveat["detail"]) == ("acme-lib", "acme-far 2.1 is installed, expected acme-far<2, which it needs")
    assert check("--strict")[0] == 1


@pytest.mark.parametrize(
    "line",
    [
        "gone; python_version < '3'",
        "gone; sys_platform == 'nowhere'",
        "gone; extra == 'x' or extra == 'y'",
        "gone; unheard_of == '1'",
        "acme-odd >=3",
        "acme-far @ https://example.org/acme_far-9.whl",
        "Acme.Far[unknown] >=2.0.dev1, ==2.*",
    ],
)
def test_what_nobody_has_to_have_alarms_nobody(site: SitePackages, line: str) -> None:
    """Markers that do not hold here, extras that nobody asked for, a version that is none, other spellings of a name."""
    site.install("acme-lib", requires=(line,))
    site.install("acme-far", version="2.1")
    site.install("acme-odd", version="two")
    needing(site, "acme-lib")

    status, found = check("--strict")

    assert (status, [one for one in found if not one["is_ok"]]) == (0, [])


def test_the_others_are_tried_beside_one_that_is_not_set_up(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """One wrong variable does not hide what else is wrong or right."""
    site.backend("local")
    monkeypatch.setenv("QUEUE_TYPE", "redis")

    status, found = check()

    assert status == 1
    assert {one["name"]: one["is_ok"] for one in found} == {"QUEUE_TYPE": False, "storage": True}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["upload"], "may read and list, and not write"),
        (["download"], "may write, list and delete, and not read"),
        (["list"], "may write, read and delete, and not list"),
        (["upload", "delete"], "may read and list, and not write and delete"),
    ],
)
def test_each_right_that_is_missing_is_found(site: SitePackages, names: list[str], said: str) -> None:
    """Writing, reading, listing and deleting are each tried, and what is refused is said with what mends it."""
    site.backend("local", source=FORBIDDING.format(storage=DICT_STORAGE.strip(), names=names))

    found = failed()

    assert said in found["detail"]
    assert found["remedy"] == "make a token"


def test_what_cannot_be_deleted_is_said_to_be_left(site: SitePackages) -> None:
    """A token that may write and not delete leaves the object of the check, whose key is told."""
    site.backend("local", source=FORBIDDING.format(storage=DICT_STORAGE.strip(), names=["delete"]))

    assert "The object 'indiaai-check/" in failed()["detail"]


def test_what_is_wrong_with_all_of_it_is_said_once(site: SitePackages) -> None:
    """Credentials that nothing is possible with are no matter of rights."""
    names = ["check", "upload", "download", "list", "delete"]
    site.backend("local", source=FORBIDDING.format(storage=DICT_STORAGE.strip(), names=names))

    assert failed()["detail"] == "Backend: refused"


def test_a_caveat_is_a_warning_and_fails_nobody(site: SitePackages) -> None:
    """What a backend wants known is told with what mends it, and the status is 0."""
    site.backend("local", source=WITH_CAVEAT)

    status, found = check()
    shown = CliRunner().invoke(build_app(), ["check"]).output

    assert status == 0
    assert [one["name"] for one in found if one["is_caveat"]] == ["storage: ACME_URL"]
    assert "warn storage: ACME_URL: forgets, expected one that keeps\n     to mend it: mend it\n" in shown


@pytest.mark.parametrize("prefix", ["ARCHIVE_", ""])
def test_a_named_instance_s_variable_is_named_as_it_would_be_set(
    site: SitePackages, monkeypatch: pytest.MonkeyPatch, prefix: str
) -> None:
    """With the instance's prefix where it is set so, else without, though the backend knows of no instances."""
    site.backend("local")
    site.backend("acme", source=DICT_STORAGE + SETTLED + SETTLED_PROBE)
    monkeypatch.setenv("ARCHIVE_STORAGE_TYPE", "acme")
    monkeypatch.setenv(f"{prefix}ACME_URL", "acme://")

    fault = failed()
    monkeypatch.setenv("IS_SERVED", "1")
    status, found = check()

    assert (fault["name"], fault["remedy"]) == ("storage:archive", f"mend {prefix}ACME_URL or ARCHIVE_STORAGE_TYPE")
    assert f"{prefix}ACME_URL: forgets" in fault["detail"]
    assert (status, [one["name"] for one in found if one["is_caveat"]]) == (0, [f"storage:archive: {prefix}ACME_URL"])


def test_a_caveat_fails_who_is_strict(site: SitePackages) -> None:
    """With `--strict` a warning is a failure."""
    site.backend("local", source=WITH_CAVEAT)

    assert failed("--strict")["is_caveat"]


def test_a_misspelt_variable_fails_an_application_that_is_strict(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would stop its start fails the check, and what would not does not."""
    site.backend("local", source=WITH_CAVEAT)
    monkeypatch.setenv("STORAGE_TPYE", "local")
    monkeypatch.setenv("INDIAAI_STRICT", "1")

    assert failed()["name"] == "STORAGE_TPYE"


def test_a_backend_that_takes_long_to_look_for_caveats_has_none(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round trip has passed: what cannot be found out in time is no caveat, and no failure."""
    monkeypatch.setattr(check_command, "PROBE_TIMEOUT_SECONDS", 0.5)
    waits = TELLS.replace("return ", "await __import__('anyio').sleep(60); return ")
    site.backend("local", source="\n    import indiaai_core as core\n" + DICT_STORAGE + waits)

    assert check()[0] == 0


def test_a_misspelt_variable_is_a_warning(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is among the results, and not a Python warning in between."""
    site.backend("local")
    monkeypatch.setenv("STORAGE_TPYE", "local")

    _, found = check()

    (caveat,) = [one for one in found if one["is_caveat"]]
    assert (caveat["name"], caveat["remedy"]) == ("STORAGE_TPYE", "rename it to STORAGE_TYPE if that is what was meant")


@pytest.mark.parametrize(
    ("installed", "stated", "found"),
    [
        ("", '[project.entry-points."indiaai.storage"]\nazure = "m:A"\n', "azure = m:A is stated and not installed"),
        ("[indiaai.storage]\nazure = m:A\n", "", "azure = m:A is installed and not stated"),
        ("", '[tool.poetry.plugins."indiaai.storage"]\nazure = "m:A"\n', "azure = m:A is stated and not installed"),
    ],
)
def test_a_stale_editable_install_is_found(site: SitePackages, tmp_path: Path, installed: str, stated: str, found: str) -> None:
    """A backend that was added to pyproject.toml, or taken out, since the install is named, with the line that mends it."""
    editable(site, tmp_path / "azure", "acme-azure", installed=installed, stated=stated)

    result = failed()

    assert result["name"] == "acme-azure"
    assert found in result["detail"]
    assert result["remedy"] == f"pip install -e {tmp_path / 'azure'}"


def test_an_editable_install_whose_folder_is_gone_is_found(site: SitePackages, tmp_path: Path) -> None:
    """The folder is named, and what to do about it."""
    editable(site, tmp_path / "azure", "acme-azure", installed="[indiaai.storage]\nazure = m:A\n", stated="")
    (tmp_path / "azure" / "pyproject.toml").unlink()
    (tmp_path / "azure").rmdir()

    assert "pip uninstall acme-azure" in failed()["remedy"]


@pytest.mark.parametrize(
    "stated",
    [
        '[project.entry-points."indiaai.storage"]\nazure = "m : A"\n',
        'dynamic = ["entry-points"]\n',
        '[project.entry-points."indiaai.storage"]\nazure = "m:A"\n[project.entry-points."other"]\nx = "y:z"\n',
        "[project\n",
    ],
)
def test_an_editable_install_that_is_up_to_date_alarms_nobody(site: SitePackages, tmp_path: Path, stated: str) -> None:
    """What is stated is what is installed, or cannot be known: both are no fault; nor is a distribution of others."""
    editable(site, tmp_path / "azure", "acme-azure", installed="[indiaai.storage]\nazure = m:A\n", stated=stated)
    editable(site, tmp_path / "other", "acme-other", installed="[other]\nx = m:A\n", stated="")
    (site.install("not-a-folder") / "direct_url.json").write_text('{"url": "https://example.org/x.whl", "archive_info": {}}')

    assert check()[0] == 0


def hang(site: SitePackages, monkeypatch: pytest.MonkeyPatch, *methods: str) -> list[int]:
    """Select a backend whose methods do not return in time, and return the statuses that the process is left with."""
    left: list[int] = []
    monkeypatch.setattr(check_command, "leave", left.append)
    monkeypatch.setattr(check_command, "PROBE_TIMEOUT_SECONDS", 0.3)
    monkeypatch.setattr(check_command, "GRACE_SECONDS", 0.3)
    site.backend("local", source=DICT_STORAGE + "".join(methods))
    return left


def test_a_check_of_backends_that_hang_is_over_in_time(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many backends say nothing, all are given up at one time."""
    left = hang(site, monkeypatch, "\n        async def check(self):\n            await __import__('anyio').sleep(60)\n")
    for name in ("ONE", "TWO", "THREE"):
        monkeypatch.setenv(f"{name}_STORAGE_TYPE", "local")
    started = time.monotonic()

    status, found = check()

    assert (status, left) == (1, [])
    assert len([one for one in found if "no answer within 0.3 s" in one["detail"]]) == 4
    assert time.monotonic() - started < 20


def test_a_backend_that_blocks_the_loop_is_found(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be cancelled is left behind: it is named, and the process ends without it."""
    left = hang(site, monkeypatch, "\n        async def check(self):\n            __import__('time').sleep(5)\n")

    status, found = check()

    assert (status, left) == (1, [1])
    assert "no answer within 0.3 s" in found[-1]["detail"]


def test_a_backend_that_does_not_close_holds_nobody_up(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """The round trip has passed, and nobody waits for what comes after."""
    left = hang(site, monkeypatch, "\n        async def aclose(self):\n            __import__('time').sleep(5)\n")

    status, found = check()

    assert (status, left) == (0, [0])
    assert found[-1]["detail"].startswith("Backend: round trip in")


def test_a_backend_that_had_work_to_do_is_asked_again(site: SitePackages, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a busy machine took the time, to load a library, nothing was learnt of the host: it is asked once more."""
    slow = """
        async def check(self):
            if self.asked:
                return
            type(self).asked = True
            await __import__("anyio").sleep(60)

        asked = False
"""
    hang(site, monkeypatch, slow)
    monkeypatch.setattr(check_command._Round, "_has_worked", lambda _: True)

    status, found = check()

    assert (status, found[-1]["is_ok"]) == (0, True)


def test_an_env_file_that_cannot_be_read_is_found(site: SitePackages, tmp_path: Path) -> None:
    """Nothing else can be known then, and it is the one thing that is said."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe")

    assert failed()["detail"].startswith("the file cannot be read")


def test_a_host_that_is_not_there_is_named_with_the_variables_that_say_it(
    site: SitePackages, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a named instance its own variable, and the bare one that it falls back to; the address as the settings show it."""
    settings = """
        class settings_class(__import__("indiaai_core").BackendSettings):
            model_config = {"env_prefix": "ACME_"}
            host: str = "nowhere"
            port: int = 1
            name: str = ""

            @property
            def server(self):
                return f"{self.host}:{self.port}"

        async def check(self):
            raise __import__("indiaai_core").BackendUnavailable("no answer")
"""
    site.backend("acme", source=DICT_STORAGE.replace("def __init__(self):", "def __init__(self, settings):") + settings)
    for name, value in {"OLD_STORAGE_TYPE": "acme", "OLD_ACME_PORT": "7", "ACME_HOST": "there"}.items():
        monkeypatch.setenv(name, value)

    assert failed()["remedy"] == "see that there:7 runs and can be reached from here, as ACME_HOST, OLD_ACME_PORT say"


def test_metadata_that_cannot_be_read_is_left_to_the_notes(site: SitePackages, tmp_path: Path) -> None:
    """An editable install with malformed entry points is no stale one: what is wrong with it is told as a note."""
    editable(site, tmp_path / "azure", "acme-azure", installed="[indiaai.other]\nazure = m:A\n", stated="")
    (metadata,) = site.folder.glob("acme_azure-*")
    (metadata / "entry_points.txt").write_bytes(b"[x]\n\xff\xfe\n")

    assert check()[0] == 0
