"""What the URL of a PostgreSQL database may look like."""

from __future__ import annotations

import asyncio

import pytest

from indiaai_core import InvalidSettings
from indiaai_db.postgresql import PostgresqlDatabaseService, PostgresqlSettings
from indiaai_db.postgresql.url import PostgresqlUrl, split_urls


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("postgres://u:p@h/d", "postgresql://u:p@h/d"),
        ("postgresql+asyncpg://u:p@h:5433/d", "postgresql://u:p@h:5433/d"),
        ("postgresql+psycopg2://u:p@h/d", "postgresql://u:p@h/d"),
        ("  'POSTGRES://u@h/d'\n", "postgresql://u@h/d"),
        ("postgres://u:p%40ss%2Fw@h/d", "postgresql://u:p%40ss%2Fw@h/d"),
        ("postgres://u:p@ss:w%rd@h/d", "postgresql://u:p%40ss%3Aw%25rd@h/d"),
        ("postgres://u:a/b?c#d@h/d", "postgresql://u:a%2Fb%3Fc%23d@h/d"),
        ("postgres://h/d", "postgresql://h/d"),
        ("postgres://u:p@a:1,b,c:3/d", "postgresql://u:p@a:1,b,c:3/d"),
        ("postgres://u:p@[::1]:5433/d", "postgresql://u:p@[::1]:5433/d"),
        ("postgres:///d?host=/var/run/postgresql", "postgresql:///d?host=%2Fvar%2Frun%2Fpostgresql"),
        ("cockroachdb://u:p@h/d", "postgresql://u:p@h:26257/d"),
        ("cockroachdb://u:p@h:1/d?sslmode=verify-full", "postgresql://u:p@h:1/d?sslmode=verify-full"),
        ("postgres://u:p@h/d?sslmode=require&channel_binding=require", "postgresql://u:p@h/d?sslmode=require"),
        ("postgres://u:p@h/d?ssl=true", "postgresql://u:p@h/d?sslmode=require"),
        ("postgres://u:p@h/d?sslmode=no-verify", "postgresql://u:p@h/d?sslmode=require"),
        ("postgres://u:p@h:6543/d?pgbouncer=true&connection_limit=1&schema=app", "postgresql://u:p@h:6543/d?search_path=app"),
        ("postgres://u:p@h/d?prepared_statement_cache_size=0", "postgresql://u:p@h/d"),
        ("postgresql://postgres.ref:p@pooler.test:6543/postgres", "postgresql://postgres.ref:p@pooler.test:6543/postgres"),
        ("postgres://user%40server:p@server.test:5432/d", "postgresql://user%40server:p@server.test:5432/d"),
        ("postgres://user@server:p@server.test:5432/d", "postgresql://user%40server:p@server.test:5432/d"),
        ("postgres://u:p%2525@h/d", "postgresql://u:p%2525@h/d"),
        ("cockroach://u:p@a,b:1/d", "postgresql://u:p@a:26257,b:1/d"),
        ("cockroachdb://u:p@h/d?options=--cluster%3Dmine", "postgresql://u:p@h:26257/d?options=--cluster%3Dmine"),
        (
            "postgres://u:p@h/d?options=-c%20geqo%3Doff&application_name=a",
            "postgresql://u:p@h/d?options=-c%20geqo%3Doff&application_name=a",
        ),
    ],
)
def test_urls_as_providers_print_them_are_put_right(given: str, expected: str) -> None:
    """Any spelling that a provider or another client prints becomes the one that the driver takes."""
    assert PostgresqlUrl.parse(given).dsn == expected


def test_connect_timeout_is_read_from_the_url() -> None:
    """Libpq's connect_timeout is honoured, and not sent to the server."""
    url = PostgresqlUrl.parse("postgres://u:p@h/d?connect_timeout=7")

    assert (url.connect_timeout_seconds, url.dsn) == (7.0, "postgresql://u:p@h/d")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "hunter2",
        "mysql://u:hunter2@h/d",
        "postgres://",
        "postgres://u:hunter2@/d",
        "postgres://u:hunter2@h:99999/d",
        "postgres://u:hunter2@h:port/d",
        "postgres://u:[hunter2]@[h/d",
        "postgres://u:hunter2@h/d?connect_timeout=soon",
    ],
)
def test_a_url_that_is_none_is_an_error_without_the_secret(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be a URL is refused at start, naming DATABASE_URL and what is expected, and showing nothing of it."""
    monkeypatch.setenv("DATABASE_URL", given)

    with pytest.raises(InvalidSettings, match="DATABASE_URL") as raised:
        PostgresqlSettings()  # type: ignore[call-arg]  # the environment gives the rest

    assert "hunter2" not in str(raised.value)
    assert "hunter2" not in repr(raised.value.faults)


def test_a_missing_url_is_an_error_that_names_it() -> None:
    """Selected without a URL, the backend says that DATABASE_URL is not set."""
    with pytest.raises(InvalidSettings, match="DATABASE_URL: not set"):
        PostgresqlSettings()  # type: ignore[call-arg]  # the environment gives nothing


def test_no_secret_is_shown_by_settings_or_service(monkeypatch: pytest.MonkeyPatch) -> None:
    """The repr of settings, service and URL names hosts at most."""
    monkeypatch.setenv("DATABASE_URL", "postgres://u:hunter2@h/d")
    monkeypatch.setenv("DATABASE_REPLICA_URLS", "postgres://u:hunter2@r1/d, postgres://u:hunter2@r2/d")
    settings = PostgresqlSettings()  # type: ignore[call-arg]  # the environment gives the rest

    shown = f"{settings!r} {PostgresqlDatabaseService(settings)!r} {PostgresqlUrl.parse('postgres://u:hunter2@h/d')!r}"

    async def engine() -> str:
        service = PostgresqlDatabaseService(settings)
        text = f"{service.engine!r} {service.engine.url!r}"
        await service.aclose()
        return text

    assert "hunter2" not in shown
    assert "hunter2" not in asyncio.run(engine())


def test_a_list_of_urls_is_split_between_urls_only() -> None:
    """Commas and spaces separate URLs; a comma between the hosts of one does not."""
    text = "postgres://u:p@a,b/d,postgres://u:p@c/d  postgresql+asyncpg://u@e/d\n"

    assert split_urls(text) == ["postgres://u:p@a,b/d", "postgres://u:p@c/d", "postgresql+asyncpg://u@e/d"]
    assert split_urls("") == []
