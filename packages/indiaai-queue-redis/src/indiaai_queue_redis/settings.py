"""The settings of the backend `redis`; imported by its modules, and by who makes the service by hand."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, StringConstraints, field_validator

from indiaai_core.queue import MAX_TASK_BYTES
from indiaai_core.settings import BackendSettings, SettingsConfigDict
from indiaai_queue_redis.address import Address

__all__ = ["RedisSettings"]

Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]{1,100}$")]


class RedisSettings(BackendSettings):
    """Where the server is, which queue on it is ours, and its limits; from variables with the prefix `REDIS_`."""

    model_config = SettingsConfigDict(env_prefix="REDIS_")

    url: SecretStr = Field(
        description="the address of the server or of a cluster's node: redis://[user:password@]host:port/database, "
        "rediss://… for TLS, unix:///path, or redis+sentinel://[user:password@]host:port[,host:port…]/service[/database]"
    )
    sentinel_username: str | None = Field(default=None, description="the user for the sentinels, if they ask for one")
    sentinel_password: SecretStr | None = Field(default=None, description="the password for the sentinels, if they ask for one")
    partitions: int = Field(
        default=0, ge=0, le=256, description="parts that a new queue is spread over; 0: 12 on a cluster, else 1"
    )
    wait_replicas: int = Field(
        default=0, ge=0, le=100, description="replicas that must have a task before `enqueue` returns; 0: the primary's word"
    )
    queue_name: Name = Field(default="default", description="the queue's name; queues of two names share nothing")
    prefix: Name = Field(default="indiaai", description="what all keys in Redis begin with; it keeps applications apart")
    lease_seconds: float = Field(default=30.0, ge=0.05, le=604_800, description="seconds for which a delivery is the only one")
    keep_finished_seconds: float = Field(default=86_400.0, ge=0, le=4e7, description="seconds for which ended tasks are known")
    max_dead_letters: int = Field(default=10_000, ge=0, description="dead letters that are kept; the oldest go first")
    max_tasks: int = Field(default=0, ge=0, description="tasks that may wait or be worked at a time; 0 for no bound")
    full_wait_seconds: float = Field(
        default=0.0, ge=0, le=86_400, description="seconds for which `enqueue` waits for room in a full queue; 0: not at all"
    )
    max_task_bytes: int = Field(default=MAX_TASK_BYTES, ge=1, le=MAX_TASK_BYTES, description="bytes of data or result as JSON")
    timeout_seconds: float = Field(default=5.0, gt=0, le=300, description="seconds to wait for a connection or an answer")
    retry_seconds: float = Field(default=2.0, ge=0, le=300, description="seconds for which a call that fails is tried again")
    max_connections: int = Field(default=50, ge=1, description="connections of `service.client`, in each loop")

    @field_validator("url")
    @classmethod
    def _check_url(cls, url: SecretStr) -> SecretStr:
        Address.of(url.get_secret_value())
        return url

    @property
    def address(self) -> Address:
        """The server's address, taken apart."""
        return Address.of(self.url.get_secret_value())

    @property
    def server(self) -> str:
        """The server's address as it may be shown: without user, password and options."""
        return self.address.shown

    @property
    def base(self) -> str:
        """What every key of the queue begins with; its braces put them all into one hash slot of a cluster."""
        return f"{{{self.prefix}:{self.queue_name}}}:"
