"""`indiaai check` on a Redis: what is wrong with it, or would lose tasks, is found, one fault at a time, and nothing else."""

from __future__ import annotations

import pytest

from indiaai_core import ConfigurationError
from redisserver import RedisServer, ServiceMaker
from test_faults import RIGHTS

pytestmark = pytest.mark.anyio


async def test_a_healthy_server_alarms_nobody(make: ServiceMaker, server: RedisServer) -> None:
    """One with an append-only file passes, is left as it was, and there is nothing to tell."""
    service = make(url=server.url())

    await service.probe()

    assert await service.caveats() == []
    assert (await service.counts()).pending == 0


async def test_a_server_with_snapshots_alone_alarms_nobody(make: ServiceMaker, server: RedisServer) -> None:
    """It is Redis's own default: what is lost is told on the backend's page, and is a choice."""
    service = make(url=server.url())
    await service.client.config_set("appendonly", "no")
    await service.client.config_set("save", "3600 1")

    assert await service.caveats() == []


async def test_a_server_that_forgets_is_found(make: ServiceMaker, server: RedisServer) -> None:
    """Neither a file nor snapshots: the command that mends it is the remedy."""
    service = make(url=server.url())
    await service.client.config_set("appendonly", "no")

    (found,) = await service.caveats()

    assert (found.variable, "forgets all tasks" in found.found) == ("REDIS_URL", True)
    assert found.remedy == 'redis-cli -u "$REDIS_URL" config set appendonly yes'


async def test_a_server_that_drops_is_found(make: ServiceMaker, server: RedisServer) -> None:
    """A policy that evicts tasks is told with the command for another one, once there is a bound at which it would."""
    service = make(url=server.url())
    await service.client.config_set("maxmemory-policy", "allkeys-lru")
    unbounded = await service.caveats()
    await service.client.config_set("maxmemory", "100mb")

    (found,) = await service.caveats()

    assert unbounded == []
    assert found.remedy.endswith("config set maxmemory-policy noeviction")


async def test_a_user_who_may_not_ask_is_told_nothing(make: ServiceMaker, server: RedisServer) -> None:
    """Managed servers let nobody ask for their configuration: what is not known is no alarm."""
    admin = make(url=server.url())
    await admin.client.config_set("appendonly", "no")
    await admin.client.execute_command("ACL", "SETUSER", "app", "on", ">pw", "~{indiaai:*", *RIGHTS)
    service = make(url=server.url("app:pw@"))

    await service.probe()

    assert await service.caveats() == []


@pytest.mark.parametrize(
    ("user", "remedy"), [("nobody:secret@", "redis://USER:PASSWORD@HOST:PORT"), ("reader:pw@", "acl setuser NAME '~{indiaai:")]
)
async def test_a_user_who_is_not_let_in_is_found(make: ServiceMaker, server: RedisServer, user: str, remedy: str) -> None:
    """Credentials that are wrong, and a user without the rights, are each told with what mends it."""
    admin = make(url=server.url())
    await admin.client.execute_command("ACL", "SETUSER", "reader", "on", ">pw", "~*", "+@read", "+@connection")

    with pytest.raises(ConfigurationError) as refusal:
        await make(url=server.url(user)).probe()

    (fault,) = refusal.value.faults
    assert fault.variable == "REDIS_URL"
    assert remedy in fault.remedy
    assert "secret" not in str(refusal.value)
