"""A stranger's layer that was built against an earlier release goes on working, with its suite, its settings and its checks."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import sites
from sites import CLI, Run, wheels

WHEELS = wheels("acme_pigeon")
VARIABLES = {"LOCAL_STORAGE_PATH": "storage", "SQLITE_DB_PATH": "app.db"}

APPLICATION = """
import json
import anyio
from indiaai_core import Platform, Unsupported
from acme_pigeon import get_pigeon_service

async def main():
    async with Platform():
        before = [await get_pigeon_service().send(text) for text in ("a", "b")]
        other = [await get_pigeon_service("far").send("c")]
        try:
            back = await get_pigeon_service().recall()
        except Unsupported as error:
            back = error.capability
    print(json.dumps([type(get_pigeon_service()).__name__, before, other, back]))

anyio.run(main)
"""


def test_a_layer_of_each_release_is_kept() -> None:
    """The first one is of the first release, and the last one is what stands beside it as source."""
    modules = {path.name: path.read_text("utf-8") for path in (sites.FOLDER / "acme_pigeon").glob("*.py")}
    with zipfile.ZipFile(WHEELS[-1]) as archive:
        kept = {Path(name).name: archive.read(name).decode() for name in archive.namelist() if name.endswith(".py")}

    assert WHEELS[0].name == "acme_pigeon-0.1.0-py3-none-any.whl"
    assert kept == modules


def test_a_stored_layer_s_own_suite_passes(run: Run) -> None:
    """Today's kit runs its promises, on both of its backends."""
    printed = run("-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:randomly", "--pyargs", "acme_pigeon.conformance")

    assert " passed" in printed


def test_a_stored_layer_carries_an_application(run: Run) -> None:
    """Its default, a backend with a setting, a named instance and a capability do what they did."""
    far = {"FAR_PIGEON_TYPE": "file", "FAR_PIGEON_FILE_PATH": "far"}
    chosen = {"PIGEON_TYPE": "file", "PIGEON_FILE_PATH": "near"}

    assert json.loads(run("-c", APPLICATION, **far)) == ["LoftPigeonService", [0, 1], [0], "b"]
    assert json.loads(run("-c", APPLICATION, **chosen, **far)) == ["FilePigeonService", [0, 1], [1], "recall"]


def test_a_stored_layer_is_listed_and_checked(run: Run) -> None:
    """Like one of today: what it warns of is told, and a backend for it can be begun, with its suite."""
    listed = json.loads(run(*CLI, "plugins", "--load", "--json"))
    found = json.loads(run(*CLI, "check", "--json", PIGEON_TYPE="file", PIGEON_FILE_PATH="near"))
    named = run("-c", "from indiaai_core.discovery import find_layer; print(find_layer('pigeon').conformance)")

    rows = [(row["backend"], row["error"]) for row in listed["backends"] if row["layer"] == "pigeon"]
    assert sorted(rows) == [("file", None), ("loft", None)]
    assert [(one["name"], one["is_ok"]) for one in found["checks"] if "pigeon" in one["name"]] == [
        ("pigeon", True),
        ("pigeon: PIGEON_FILE_PATH", True),
    ]
    assert named == "acme_pigeon.conformance:PigeonConformance\n"
