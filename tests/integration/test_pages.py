"""Every block of code on every page is run, with what is installed here, on servers where the page speaks of some."""

from __future__ import annotations

import os
import re
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from redis import Redis

from environments import ROOT
from following import Follower, blocks
from indiaai_db.testing import PostgresqlServer
from motoserver import moto_server
from reading import Reader, can_be_tried, free_port, typed
from redisprocess import redis_server

pytestmark = pytest.mark.anyio

PATTERNS = ("*.md", "docs/**/*.md", "packages/*/*.md", "examples/*/*.md")
EVERY = [path.relative_to(ROOT).as_posix() for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]

WITH_BLOCKS = [page for page in EVERY if "```" in (ROOT / page).read_text("utf-8")]

# Pages that a test of their own follows from the first line to the last.
FOLLOWED = {
    "docs/how-to/check-a-set-up.md": "test_operator_pages.py",
    "docs/how-to/see-the-settings.md": "test_operator_pages.py",
    "docs/how-to/operate-a-queue.md": "test_operate_a_queue.py",
    "docs/how-to/operate-a-store.md": "test_operator_pages.py",
    "docs/how-to/write-a-backend.md": "test_write_a_backend.py",
    "docs/tutorial/first-layer.md": "test_first_layer.py",
    "docs/tutorial/first-plugin.md": "test_first_plugin.py",
}

# What is not typed here, and why; nothing else on a page is left out.
NOT_TYPED = {
    r"(python3 -m venv .*|\S*)\b(nox|uvx nox|uvx)\b.*": "runs the tests, of which this is one; sessions are looked up below",
    r"\.venv/bin/pytest .*|uv sync .*": "likewise, in the repository",
    r"python3 -m venv \.venv|\. \.venv/bin/activate": "would hide what is installed here, as nox -s readme tries it",
    r"pip install indiaai-(notify|storage-s3)": "a stranger's package, which is in the reach of its own page alone",
    r"pip install -e .*": "builds a tree, which test_new_command.py and the tutorials do",
    r"pytest|python -m pytest.*": "the tests of a package that is not whole yet, or of an example, which nox -s tests runs",
    r"python demo\.py": "serves until somebody stops it; the example's test_demo.py runs it",
}
NOT_RUN = {
    (
        "examples/indiaai-notify/README.md",
        "import pytest",
    ): "the suite on a backend that is the reader's; the example's own are alike",
}

APP = "sed -n '/^# app.py/,/^```/p' {root}/README.md | sed '/^```/d' > app.py"
EXAMPLE = "mkdir -p examples && cp -r {root}/examples/document_intake examples/ && rm -rf examples/document_intake/data"
TABLES = """
import indiaai_db.outbox
from indiaai_db import Base, get_database_service
async with get_database_service().engine.begin() as connection:
    await connection.run_sync(Base.metadata.create_all)
"""

MODELS = """
indiaai db init
cat > models.py <<'END'
from indiaai_db import Base
from sqlalchemy.orm import Mapped, mapped_column
class Note(Base):
    __tablename__ = "note"
    text: Mapped[str] = mapped_column(primary_key=True)
END
cat > migrations/env.py <<'END'
import models
from indiaai_db import Base
from indiaai_db.migrations import run
run(Base.metadata)
END
cat > begin.py <<'END'
import asyncio
from indiaai_core import Platform, get_storage_service
from indiaai_db import get_database_service
from models import Note
async def main():
    async with Platform():
        await get_storage_service().upload("first.txt", b"stored on the laptop")
        async with get_database_service().session() as session:
            session.add(Note(text="written on the laptop"))
asyncio.run(main())
END
SQLITE_DB_PATH=data/app.db indiaai db revision -m notes
SQLITE_DB_PATH=data/app.db indiaai db upgrade
SQLITE_DB_PATH=data/app.db python begin.py
"""

# What a page takes for granted: commands, or Python.
BEFORE = {
    "docs/explanation/storage.md": "from indiaai_storage_local import LocalStorageService as S\npdf, storage = b'%PDF', S()",
    "docs/how-to/change-backends.md": f"{APP}\nindiaai db init\nindiaai db upgrade\n"
    "export NEW_STORAGE_TYPE=local NEW_LOCAL_STORAGE_PATH=new\n"
    "LOCAL_STORAGE_PATH=/srv/app/storage indiaai storage cp app.py :moved.py",
    "docs/how-to/enqueue-with-a-transaction.md": "export QUEUE_TYPE=redis",
    "docs/how-to/grow.md": f"unset ${{!R2_*}} REDIS_URL DATABASE_URL\n{APP}\n{MODELS}",
    "docs/how-to/run-the-example.md": EXAMPLE,
    "docs/how-to/run-postgresql.md": "indiaai db init",
    "docs/reference/hooks.md": "from typing import Any\nfrom indiaai_core import Platform",
    "examples/document_intake/README.md": f"{EXAMPLE}\ncd examples/document_intake",
}

# What calls what a page defines.
AFTER = {
    "docs/explanation/storage.md": "assert 'filename*' in str((await storage.stat('bills/7f3a')).content_disposition)",
    "docs/how-to/change-backends.md": """
from fastapi.testclient import TestClient
from indiaai_core import get_storage_service
assert type(get_storage_service().client).__module__.startswith("botocore")
assert await get_storage_service().exists("moved.py")
with TestClient(app) as client:
    assert client.get("/health/ready").status_code == 200
""",
    "docs/how-to/enqueue-with-a-transaction.md": f"""{TABLES}
import anyio
from indiaai_core import get_queue_service
await post("dear")
with anyio.fail_after(30):
    async with lifespan(FastAPI()):
        while (await get_queue_service().counts()).pending != 1:
            await anyio.sleep(0.05)
""",
    "docs/how-to/grow.md": """
import models
from indiaai_core import get_queue_service, get_storage_service
from indiaai_db import get_database_service
assert await get_storage_service().download("first.txt") == b"stored on the laptop"
async with get_database_service().session(read_only=True) as session:
    assert await session.get(models.Note, "written on the laptop")
assert type(get_storage_service().client).__module__.startswith("botocore")
assert (await get_queue_service().counts()).pending == 0
""",
    "docs/how-to/migrations.md": "await prepare()",
    "docs/how-to/watch-every-call.md": """
import acme_timing, logging
from indiaai_core import Platform
told, handler = [], logging.Handler()
handler.emit = lambda record: told.append(record.getMessage())
acme_timing.logger.addHandler(handler)
acme_timing.logger.setLevel("INFO")
async with Platform() as platform:
    platform.hooks.register(acme_timing)
    await platform.get_service("storage", "watched").exists("a")
assert told and told[0].startswith("exists took")
""",
    "docs/how-to/worker.md": """
from jobs import worker as jobs
from indiaai_core import get_queue_service, get_storage_service
await get_storage_service().upload("empty.txt", b"")
await check_an_empty_file_is_rejected(jobs, get_queue_service())
""",
    "packages/indiaai-db/README.md": f"""{TABLES}
assert await deposit(await open_account(), 5) == 5
""",
    "packages/indiaai-queue-redis/README.md": """
from indiaai_core import get_queue_service
task_id = await enqueue()
await work()
assert (await get_queue_service().get_status(task_id)).result == {"pages": 3}
""",
    "packages/indiaai-storage-r2/README.md": """
assert (await store(b"%PDF")).startswith("http")
assert await read("reports/2026.pdf") == b"%PDF"
""",
    "examples/indiaai-notify/README.md": "assert (await tell('asha@example.in')).startswith('<')",
    "examples/indiaai-storage-s3/README.md": "assert 'X-Amz-Signature' in await store(b'%PDF')",
}

# Tests that use the fixtures of a page, beside its own.
TESTS = {
    "docs/how-to/migrations.md": "def test_it_starts(postgresql_url):\n    assert postgresql_url.startswith('postgres')",
    "docs/how-to/test-an-application.md": """
from indiaai_db.migrations import write_folder
@pytest.fixture
def platform(tmp_path):
    return Platform({"STORAGE_TYPE": "local", "LOCAL_STORAGE_PATH": tmp_path})
@pytest.fixture
def fake():
    return object()
@pytest.fixture(scope="session")
def database_schema():
    async def no_tables(service):
        pass
    return no_tables
write_folder(Path("alembic.ini"), Path("migrations"))
Path("migrations", "env.py").write_text("from indiaai_db import Base, migrations\\n\\nmigrations.run(Base.metadata)\\n")
def test_the_fake_is_in_place(platform, storage, fake):
    assert platform.get_service("storage") is storage is fake
""",
}


@pytest.fixture(scope="module")
def mail_port() -> Iterator[int]:
    """Run a mail server that takes everything, and give its port."""
    port = free_port()
    server = Controller(Sink(), hostname="127.0.0.1", port=port)
    server.start()
    yield port
    server.stop()


@pytest.fixture(scope="module")
def servers(mail_port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Return the addresses of servers, by what pages have in their place."""
    folder = tmp_path_factory.mktemp("redis")
    with redis_server(folder) as redis, moto_server("documents") as bucket, PostgresqlServer() as postgresql:
        with Redis.from_url(redis) as client:
            client.config_set("appendonly", "yes")  # as `indiaai check` wants it
        yield {
            "redis://localhost:6379/0": redis,
            "postgres://user:password@host:5432/database": postgresql.database_url("DATABASE"),
            "postgres://user:password@host/database": postgresql.database_url("DATABASE"),
            "R2_ACCOUNT_ID=…": f"R2_ENDPOINT_URL={bucket}",
            "=…": "=testing",
            "SMTP_HOST=smtp.example.in": f"SMTP_HOST=127.0.0.1 SMTP_PORT={mail_port} SMTP_SECURITY=none",
            "R2_BUCKET_NAME=archive": "R2_BUCKET_NAME=documents",
            # One server stands for several, and for the bigger engines of the scaling path.
            "postgresql://app:password@db-1:5432,db-2:5432/app?sslmode=verify-full&sslrootcert=/etc/ssl/db.pem": (
                postgresql.database_url("DATABASE")
            ),
            **{f"postgresql://app:password@db-{number}:5432/app": postgresql.database_url("DATABASE") for number in (2, 3)},
            "redis+sentinel://sentinel-1,sentinel-2,sentinel-3/primary": redis,
            "REDIS_WAIT_REPLICAS=1": "REDIS_WAIT_REPLICAS=0",
            "postgres://user:password@pooler/database": postgresql.database_url("DATABASE"),
            "postgres://user:password@replica/database": postgresql.database_url("DATABASE"),
        }


@pytest.fixture
async def addresses(servers: dict[str, str]) -> dict[str, str]:
    """Make a database for the test, so that one page does not find what another left."""
    name = f"page{uuid.uuid4().hex}"
    url = servers["postgres://user:password@host/database"]
    connection = await asyncpg.connect(url.replace("/DATABASE", "/postgres"))
    await connection.execute(f"CREATE DATABASE {name}")
    await connection.close()
    return {shown: real.replace("DATABASE", name) for shown, real in servers.items()}


@pytest.fixture
def reader(tmp_path: Path, addresses: dict[str, str], strangers: Path, page: str) -> Iterator[Reader]:
    """Somebody in an empty folder, who has accounts with all servers, and a stranger's package on the page of that."""
    is_apart = page.startswith("examples/indiaai-")
    port = free_port()
    serve = {f"uvicorn {name}:app": f"uvicorn {name}:app --port {port}" for name in ("app", "main")}
    endpoint = addresses["R2_ACCOUNT_ID=…"].partition("=")[2]
    keys = {"ACCESS_KEY_ID": "testing", "SECRET_ACCESS_KEY": "testing"}
    variables = {
        "PATH": os.pathsep.join([f"{tmp_path / '.programs'}", f"{Path(sys.executable).parent}", os.environ["PATH"]]),
        "INDIAAI_STRICT": "1",
        "R2_ENDPOINT_URL": endpoint,
        "R2_BUCKET_NAME": "documents",
        "REDIS_QUEUE_NAME": uuid.uuid4().hex,
        "REDIS_URL": addresses["redis://localhost:6379/0"],
        "DATABASE_URL": addresses["postgres://user:password@host/database"],
        "AWS_ENDPOINT_URL_S3": endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        **({"PYTHONPATH": f"{strangers}"} if is_apart else {}),
        **{f"{prefix}_{name}": value for prefix in ("R2", "AWS") for name, value in keys.items()},
    }
    stand_ins = {**addresses, **serve, "/srv/app": f"{tmp_path / 'srv'}", "http://127.0.0.1:8000": f"http://127.0.0.1:{port}"}
    with Follower(tmp_path, variables) as terminal:
        somebody = Reader(terminal, stand_ins=stand_ins, skipped=NOT_TYPED, is_apart=is_apart)
        yield somebody
        somebody.close()


@pytest.mark.parametrize("page", [page for page in WITH_BLOCKS if page not in FOLLOWED])
async def test_every_block_of_a_page_runs(page: str, reader: Reader) -> None:
    """Commands succeed and print what is shown, files and programs run, what is defined is called."""
    text = (ROOT / page).read_text("utf-8")
    found = [block for block in blocks(text) if (page, block.text.partition("\n")[0]) not in NOT_RUN]

    await reader.do(BEFORE.get(page, "").replace("{root}", f"{ROOT}"))
    await reader.read(found)
    await reader.do(AFTER.get(page, ""))
    reader.finish(TESTS.get(page, ""))


@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_every_block_says_what_it_is(page: str) -> None:
    """There is no block without a language, or with one that nobody here knows how to try."""
    text = (ROOT / page).read_text("utf-8")
    found = list(blocks(text))

    assert len(re.findall(r"^ *```", text, re.MULTILINE)) == 2 * len(found)
    assert [block for block in found if not can_be_tried(block)] == []


def test_a_variable_that_a_page_changes_is_a_setting() -> None:
    """What stands in a block of changes is on the page of all settings, perhaps for a named instance."""
    known = (ROOT / "docs" / "reference" / "settings.md").read_text("utf-8")
    changes = [block.text for page in EVERY for block in blocks((ROOT / page).read_text("utf-8")) if block.kind == "diff"]

    names = {name for text in changes for name in re.findall(r"^[-+]([A-Z][A-Z0-9_]+)=", text, re.MULTILINE)}

    assert names
    assert [name for name in names if not any(f"`{it}`" in known for it in (name, name.partition("_")[2]))] == []


def test_what_is_left_out_is_on_a_page() -> None:
    """A reason that no page needs any more is gone, and a page that another test follows is named by it."""
    typed_commands = [
        command.partition(" # ")[0].strip()
        for page in EVERY
        if page not in FOLLOWED
        for block in blocks((ROOT / page).read_text("utf-8"))
        if block.kind in ("sh", "console")
        for command, _ in typed(block)
    ]
    follow = {page: (Path(__file__).parent / module).read_text("utf-8") for page, module in FOLLOWED.items()}

    assert [it for it in NOT_TYPED if not any(re.fullmatch(it, command) for command in typed_commands)] == []
    assert [page for page, text in follow.items() if Path(page).name not in text] == []
    assert [page for page in [*BEFORE, *AFTER, *TESTS, *(page for page, _ in NOT_RUN)] if page not in EVERY] == []


def test_a_session_that_a_page_names_is_there() -> None:
    """What comes after `nox -s` is a session of the noxfile, for a package or an example that there is."""
    noxfile = (ROOT / "noxfile.py").read_text("utf-8")
    texts = [(ROOT / page).read_text("utf-8") for page in EVERY]
    named = {name for text in texts for name in re.findall(r"nox -s \"?([\w-]+(?:\([\w-]+\))?)", text)}
    sessions = {f"{name}" for name in re.findall(r"^def (\w+)\(session", noxfile, re.MULTILINE)}
    folders = {path.parent.name for path in ROOT.glob("*/*/pyproject.toml")} | {path.name for path in ROOT.glob("tests/*/")}

    for name in named:
        session, _, parameter = name.rstrip(")").partition("(")
        assert session.partition("-")[0] in sessions | folders, name
        assert not parameter or parameter in folders, name
