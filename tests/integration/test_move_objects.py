"""The program that the documentation gives for moving objects from one backend to another, run as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from environments import ROOT
from indiaai_core import Platform, StorageService
from motoserver import moto_server

pytestmark = pytest.mark.anyio

PAGE = (ROOT / "docs" / "how-to" / "change-backends.md").read_text("utf-8")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    """Return the address of an S3 server with an empty bucket."""
    with moto_server("documents") as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with the page's program in it."""
    (block,) = re.findall(r"^```python\n# move_objects\.py\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    (tmp_path / "move_objects.py").write_text(block, "utf-8")
    return tmp_path


def local(folder: Path) -> dict[str, str]:
    """Return the variables of the old store."""
    return {"STORAGE_TYPE": "local", "LOCAL_STORAGE_PATH": str(folder / "storage")}


def r2(endpoint: str) -> dict[str, str]:
    """Return the variables of the new one."""
    keys = {"R2_ACCESS_KEY_ID": "testing", "R2_SECRET_ACCESS_KEY": "testing", "R2_BUCKET_NAME": "documents"}
    return {"STORAGE_TYPE": "r2", "R2_ENDPOINT_URL": endpoint, **keys}


def move(folder: Path, *, old: dict[str, str], new: dict[str, str], prefix: str = "") -> list[str]:
    """Run the program; return the keys that it says it moved."""
    renamed = {f"NEW_{name}": value for name, value in new.items()}
    command = [sys.executable, "move_objects.py", *([prefix] if prefix else [])]
    environment = {**os.environ, **old, **renamed, "PYTHONUTF8": "1"}
    run = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout.split()


async def test_objects_move_with_all_that_describes_them_and_back(folder: Path, endpoint: str) -> None:
    """Bytes, content type, metadata, cache control and disposition arrive; a second run moves what has changed and no more."""
    old, new = local(folder), r2(endpoint)
    platform = Platform(old)
    storage: StorageService = platform.get_service("storage")
    await storage.upload(
        "bills/a.pdf",
        b"a" * 700_000,
        "application/pdf",
        metadata={"author": "कालिदास"},
        cache_control="no-store",
        content_disposition='attachment; filename="a.pdf"',
    )
    await storage.upload("bills/b.txt", b"b", "text/plain")
    await storage.upload("letters/c.txt", b"c", "text/plain")

    first = move(folder, old=old, new=new, prefix="bills/")
    second = move(folder, old=old, new=new)
    third = move(folder, old=old, new=new)
    await storage.upload("bills/b.txt", b"changed", "text/plain")
    fourth = move(folder, old=old, new=new)
    returned = folder / "returned"
    back = move(folder, old=new, new=local(returned))
    await platform.aclose()

    assert (first, second, third, fourth) == (["bills/a.pdf", "bills/b.txt"], ["letters/c.txt"], [], ["bills/b.txt"])
    assert back == ["bills/a.pdf", "bills/b.txt", "letters/c.txt"]
    platform = Platform(local(returned))
    found: StorageService = platform.get_service("storage")
    info = await found.stat("bills/a.pdf")
    assert (info.content_type, info.metadata) == ("application/pdf", {"author": "कालिदास"})
    assert (info.cache_control, info.content_disposition) == ("no-store", 'attachment; filename="a.pdf"')
    assert await found.download("bills/a.pdf") == b"a" * 700_000
    assert await found.download("bills/b.txt") == b"changed"
    await platform.aclose()
