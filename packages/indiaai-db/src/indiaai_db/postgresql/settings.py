"""The settings of the backend `postgresql`; imported by its service."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import AfterValidator, Field, PrivateAttr, SecretStr

from indiaai_core.environment import Environment
from indiaai_core.settings import BackendSettings, SettingsConfigDict
from indiaai_db.postgresql.url import PostgresqlUrl, split_urls

__all__ = ["PostgresqlSettings"]


def _is_a_url(value: SecretStr) -> SecretStr:
    PostgresqlUrl.parse(value.get_secret_value())
    return value


def _are_urls(value: SecretStr) -> SecretStr:
    for url in split_urls(value.get_secret_value()):
        PostgresqlUrl.parse(url)
    return value


class PostgresqlSettings(BackendSettings):
    """Where the database is, and how many connections are kept to it."""

    model_config = SettingsConfigDict(env_prefix="DATABASE_")

    url: Annotated[
        SecretStr,
        AfterValidator(_is_a_url),
        Field(description="the database as its provider prints it: postgresql://user:password@host:5432/database"),
    ]
    replica_urls: Annotated[
        SecretStr,
        AfterValidator(_are_urls),
        Field(description="replicas for read-only sessions, separated by commas or spaces"),
    ] = SecretStr("")
    replica_pause_seconds: float = Field(
        default=5.0,
        ge=0,
        le=3600,
        description="how far behind a replica may be that is read from, and for how long after a commit the same task reads "
        "from the primary, in seconds",
    )
    isolation_level: Literal["REPEATABLE READ", "READ COMMITTED", "SERIALIZABLE"] = Field(
        default="REPEATABLE READ", description="of `session()`; what `run()` does is always serializable"
    )
    check_commits: Literal["run", "always", "never"] = Field(
        default="run",
        description="find out what became of a COMMIT whose answer was lost; costs the transaction one more round trip",
    )
    pool_size: int = Field(default=10, ge=1, le=1000, description="the most connections of one event loop to each server")
    pool_timeout_seconds: float = Field(default=10.0, gt=0, le=600, description="how long to wait for one of them, in seconds")
    pool_recycle_seconds: float = Field(
        default=1800.0, gt=0, description="after how long a connection is made anew, in seconds"
    )
    connect_timeout_seconds: float = Field(
        default=5.0, gt=0, le=600, description="how long to wait for each host, unless the URL says connect_timeout, in seconds"
    )
    statement_timeout_seconds: float | None = Field(
        default=None,
        gt=0,
        description="how long a statement of a transaction may take, in seconds; those of migrations any time",
    )
    application_name: str = Field(default="indiaai", max_length=63, description="what the server's lists call the application")
    prepared_statements: bool = Field(
        default=False, description="keep prepared statements: faster on a connection of one's own, wrong behind a pooler"
    )

    _instance: str = PrivateAttr(default_factory=lambda: Environment.current().instance)

    @property
    def instance(self) -> str:
        """The named instance that the settings were made for; empty for the main one."""
        return self._instance

    @property
    def server(self) -> str:
        """Where the database is, as it may be shown: without user and password."""
        return PostgresqlUrl.parse(self.url.get_secret_value()).shown
