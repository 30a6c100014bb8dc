"""What is said when the server is not there, not ours, or not able."""

from __future__ import annotations

import asyncio
import logging
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import suppress
from typing import Any

import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, IndiaAIError, InvalidSettings, NewTask, QueueError, QueueFull
from indiaai_core.queue import Counts
from indiaai_queue_redis import RedisQueueService, RedisSettings
from indiaai_queue_redis.channel import Channel
from redisserver import RedisServer, ServiceMaker

pytestmark = pytest.mark.anyio

PASSWORD = "hunter2-not-for-logs"

# What the backend's page asks for.
RIGHTS = ("+@read", "+@write", "+@scripting", "+@connection", "+@blocking", "+time", "+info")


def everything_said(error: BaseException, caplog: pytest.LogCaptureFixture, *others: object) -> str:
    """Return all that a person could read of an error: it, its causes with their tracebacks, the log."""
    return "".join(traceback.format_exception(error)) + caplog.text + "".join(map(repr, others))


@pytest.mark.parametrize(
    "url",
    [
        f"http://user:{PASSWORD}@example.org",
        f"redis://user:{PASSWORD}@example.org:port",
        f"redis://user:{PASSWORD}/more@example.org",
        f"redis://user:{PASSWORD}@more@example.org",
        f"unix://user:{PASSWORD}@",
        f"rediss//user:{PASSWORD}@example.org",
        "",
    ],
)
async def test_bad_address_is_refused_without_being_shown(url: str, caplog: pytest.LogCaptureFixture) -> None:
    """A bad REDIS_URL is an error at start that names the variable and shows nothing of it."""
    with pytest.raises(InvalidSettings) as refusal:
        RedisSettings.model_validate({"url": url})

    said = everything_said(refusal.value, caplog)
    assert "url" in said.lower()
    assert PASSWORD not in str(refusal.value)
    assert "redis://" in str(refusal.value)


async def test_absent_address_is_an_error_that_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without REDIS_URL the service is not made, and the error says what to set."""
    monkeypatch.delenv("REDIS_URL", raising=False)

    with pytest.raises(InvalidSettings, match=r"REDIS_URL: not set.*redis://"):
        RedisQueueService()


async def test_unknown_option_of_the_address_is_refused(make: ServiceMaker, shared_server: RedisServer) -> None:
    """An option in REDIS_URL that the client does not know is an error that names the variable."""
    service = make(url=f"{shared_server.url()}?no_such_option=1")

    with pytest.raises(InvalidSettings, match=r"REDIS_URL.*no_such_option"):
        await service.counts()


async def test_nobody_at_the_address_is_unavailable(caplog: pytest.LogCaptureFixture) -> None:
    """Where no server listens, a call tries again for as long as is set, says so once, and gives up."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    settings = RedisSettings.model_validate({"url": f"redis://:{PASSWORD}@127.0.0.1:{port}", "retry_seconds": 0.3})
    service = RedisQueueService(settings)

    with pytest.raises(BackendUnavailable) as refusal:
        await service.enqueue("process")
    async with asyncio.timeout(0.25):
        with pytest.raises(BackendUnavailable):
            await service.check()  # which does not try again: who asks wants to know now

    said = everything_said(refusal.value, caplog, settings, service, service.client)
    assert f"127.0.0.1:{port}" in str(refusal.value)
    assert PASSWORD not in said
    assert len([record for record in caplog.records if record.levelno == logging.WARNING]) == 1
    await service.aclose()


@pytest.fixture
def silent_port() -> Iterator[int]:
    """A port that takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


async def test_server_that_hangs_is_unavailable(silent_port: int) -> None:
    """A server that takes the connection and never answers costs `timeout_seconds`, not for ever."""
    settings = RedisSettings.model_validate(
        {"url": f"redis://127.0.0.1:{silent_port}", "timeout_seconds": 0.2, "retry_seconds": 0}
    )
    service = RedisQueueService(settings)

    async with asyncio.timeout(5):
        with pytest.raises(BackendUnavailable, match=r"[Tt]imeout"):
            await service.enqueue("process")

    await service.aclose()


@pytest.fixture
async def connecting(silent_port: int) -> AsyncIterator[RedisQueueService]:
    """A service whose calls wait for a server that takes the connection and never answers."""
    settings = RedisSettings.model_validate({"url": f"redis://127.0.0.1:{silent_port}", "timeout_seconds": 30})
    async with RedisQueueService(settings) as service:
        yield service


async def call_and_close(service: RedisQueueService, call: Coroutine[Any, Any, object]) -> object:
    """Close a service while a call of it is connecting, and return what the call then gave or raised."""
    waiting = asyncio.create_task(call)
    await asyncio.wait([waiting], timeout=0.1)
    async with asyncio.timeout(5):
        await service.aclose()
        return (await asyncio.gather(waiting, return_exceptions=True))[0]


async def test_close_ends_a_call_that_is_connecting(connecting: RedisQueueService) -> None:
    """Who called while the service was still connecting is told, when it is closed, that it is; not cancelled."""
    outcome = await call_and_close(connecting, connecting.enqueue("process"))

    assert isinstance(outcome, BackendUnavailable)


async def test_close_ends_a_worker_that_is_connecting(connecting: RedisQueueService) -> None:
    """A `dequeue_many` that waits, and is still connecting, returns with nothing when the service is closed."""
    outcome = await call_and_close(connecting, connecting.dequeue_many(10, timeout=60))

    assert outcome == []


async def test_close_ends_a_worker_whose_own_connection_hangs(make: ServiceMaker, monkeypatch: pytest.MonkeyPatch) -> None:
    """So it does where the service is connected, and only the connection on which the worker would wait is not."""
    open_channel = Channel.open

    async def open_or_hang(connection: Any, *, timeout_seconds: float) -> Channel:
        if timeout_seconds > 30:  # one for waiting on
            await asyncio.Event().wait()
        return await open_channel(connection, timeout_seconds=timeout_seconds)

    monkeypatch.setattr(Channel, "open", open_or_hang)
    service = make(timeout_seconds=30)
    await service.counts()

    outcome = await call_and_close(service, service.dequeue_many(10, timeout=60))

    assert outcome == []


async def test_call_that_is_cancelled_while_connecting_is_cancelled(connecting: RedisQueueService) -> None:
    """A caller's own cancellation stays one, and its neighbour goes on waiting."""
    cancelled, other = asyncio.create_task(connecting.counts()), asyncio.create_task(connecting.counts())
    await asyncio.wait([cancelled, other], timeout=0.1)

    cancelled.cancel()
    await asyncio.wait([cancelled], timeout=5)

    assert cancelled.cancelled()
    assert not other.done()
    await connecting.aclose()
    with pytest.raises(BackendUnavailable):
        await other


@pytest.mark.parametrize("user", ["", f":{PASSWORD}@", f"nobody:{PASSWORD}@"], ids=["none", "password", "user"])
async def test_user_who_is_not_let_in_is_a_configuration_error(
    server: RedisServer, user: str, caplog: pytest.LogCaptureFixture
) -> None:
    """NOAUTH and WRONGPASS name REDIS_URL, at once, and show no secret."""
    server.stop()
    server.options = ("--requirepass", "the-right-one")
    server.start()
    settings = RedisSettings.model_validate({"url": server.url(user)})
    service = RedisQueueService(settings)

    with pytest.raises(ConfigurationError, match="REDIS_URL") as refusal:
        await service.enqueue("process")

    assert PASSWORD not in everything_said(refusal.value, caplog, settings, service, service.client, refusal.value.faults)
    await service.aclose()


async def test_password_in_percent_code_lets_in(server: RedisServer) -> None:
    """A password with reserved characters works in percent code, and is not shown."""
    server.stop()
    server.options = ("--requirepass", "p@ss/w#rd")
    server.start()

    async with RedisQueueService(RedisSettings.model_validate({"url": server.url(":p%40ss%2Fw%23rd@")})) as service:
        await service.check()

        assert "p@ss" not in repr(service.client)


async def test_user_without_the_right_is_a_configuration_error(make: ServiceMaker, server: RedisServer) -> None:
    """A user whose ACL lacks the queue's keys is told so; one who has just those may do everything."""
    admin = make().client
    await admin.execute_command("ACL", "SETUSER", "other", "on", ">secret", "~other:*", "+@all")
    await admin.execute_command("ACL", "SETUSER", "worker", "on", ">secret", "~{indiaai:default}:*", *RIGHTS)
    stranger, worker = make(url=server.url("other:secret@")), make(url=server.url("worker:secret@"))

    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        await stranger.enqueue("process")
    await worker.enqueue("process")

    assert await worker.dequeue(1) is not None


async def test_full_server_takes_no_tasks_and_can_be_worked_empty(make: ServiceMaker, server: RedisServer) -> None:
    """Out of memory, Redis refuses new tasks whole, and lets workers claim, renew, retry and settle what is there."""
    service = make(lease_seconds=30)
    await service.enqueue_many([NewTask("process", {"n": n}) for n in range(5)])
    await service.client.config_set("maxmemory", "1")

    with pytest.raises(QueueFull, match="memory"):
        await service.enqueue_many([NewTask("process", dedupe_key=f"{n}") for n in range(3)])

    assert await service.counts() == Counts(pending=5)
    first, second, third, fourth, fifth = await service.dequeue_many(10)
    assert await service.update_status(first, "processing", {"done": 1})
    assert await service.update_status(first, "completed", {"ok": True})
    assert await service.retry(second, delay=60, error="again")
    assert await service.update_status(third, "failed", "broken")
    assert await service.release(fourth)
    assert await service.cancel(fifth.id)
    await service.client.config_set("maxmemory", "0")
    assert await service.counts() == Counts(pending=1, delayed=1, dead=1)
    assert await service.client.hlen("{indiaai:default}:dedupe") == 0


async def test_replica_is_unavailable(make: ServiceMaker, server: RedisServer) -> None:
    """A server that takes no writes is not healthy, and worth a retry: a failover may be under way."""
    service = make(retry_seconds=0.2)
    await service.client.execute_command("REPLICAOF", "127.0.0.1", "1")

    for call in (service.check(), service.enqueue("process")):
        with pytest.raises(BackendUnavailable):
            await call

    await service.client.execute_command("REPLICAOF", "NO", "ONE")
    await service.check()


async def test_paused_server_is_waited_for(make: ServiceMaker, server: RedisServer) -> None:
    """While the server is paused, a call waits and then succeeds."""
    service, other = make(retry_seconds=10), make()
    await other.client.execute_command("CLIENT", "PAUSE", "300", "ALL")

    task_id = await service.enqueue("process")

    assert (await service.get_status(task_id)).id == task_id


async def test_server_that_still_loads_is_waited_for(make: ServiceMaker, server: RedisServer) -> None:
    """A restarted server that reads its data takes no call yet: who waits goes on, and all is there."""
    waiting, hasty = make(retry_seconds=60), make(retry_seconds=0)
    task_id = await waiting.enqueue("process", {"n": 1})
    async with waiting.client.pipeline(transaction=False) as pipeline:
        for number in range(5_000):
            pipeline.set(f"other:{number}", "")
        await pipeline.execute()
    server.kill()
    server.options += ("--key-load-delay", "600")  # microseconds a key; it answers in between, every 1,024 keys
    starting = asyncio.create_task(asyncio.to_thread(server.start))
    try:
        said = ""
        while "LOADING" not in said:
            with pytest.raises(BackendUnavailable) as refusal:
                await hasty.get_status(task_id)
            said = str(refusal.value)
            await asyncio.sleep(0.05)
        status = await waiting.get_status(task_id)
    finally:
        await starting

    assert (status.id, status.state) == (task_id, "pending")


async def test_cluster_without_slots_is_unavailable(make: ServiceMaker, server: RedisServer) -> None:
    """A node of a cluster that is down says CLUSTERDOWN, which passes."""
    server.stop()
    server.options = ("--cluster-enabled", "yes")
    (server.folder / "appendonly.aof").unlink(missing_ok=True)
    server.start()
    service = RedisQueueService(RedisSettings.model_validate({"url": server.url(), "retry_seconds": 0}))

    with pytest.raises(BackendUnavailable):
        await service.check()

    await service.aclose()


@pytest.fixture
async def answering() -> AsyncIterator[Callable[[str], Awaitable[int]]]:
    """Start a server that answers every command with one error; gives its port."""
    servers: list[asyncio.Server] = []

    async def start(answer: str) -> int:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with suppress(OSError):
                while line := await reader.readline():
                    if line.startswith(b"*"):
                        writer.write(f"-{answer}\r\n".encode())
            writer.close()

        servers.append(await asyncio.start_server(serve, "127.0.0.1", 0))
        port: int = servers[0].sockets[0].getsockname()[1]
        return port

    yield start
    for server in servers:
        server.close()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("LOADING Redis is loading the dataset in memory", BackendUnavailable),
        ("BUSY Redis is busy running a script", BackendUnavailable),
        ("MISCONF Redis is configured to save RDB snapshots", BackendUnavailable),
        ("MASTERDOWN Link with MASTER is down", BackendUnavailable),
        ("NOREPLICAS Not enough good replicas to write", BackendUnavailable),
        ("TRYAGAIN Multiple keys request during rehashing of slot", BackendUnavailable),
        ("ERR Error running script (call to f_1): @user_script:1: -READONLY You can't write", BackendUnavailable),
        ("ERR max number of clients reached", BackendUnavailable),
        ("MOVED 1 127.0.0.1:7001", BackendUnavailable),
        ("ASK 1 127.0.0.1:7001", BackendUnavailable),
        ("CROSSSLOT Keys in request don't hash to the same slot", ConfigurationError),
        ("NOPERM this user has no permissions to run the 'evalsha' command", ConfigurationError),
        ("ERR Error running script (call to f_1): @user_script:1: -OOM command not allowed", QueueFull),
        ("ERR unknown command", QueueError),
    ],
    ids=lambda value: value.split()[0] if isinstance(value, str) else "",
)
async def test_servers_error_is_ours(answering: Callable[[str], Awaitable[int]], answer: str, kind: type[IndiaAIError]) -> None:
    """Each error that a server answers with is the one of ours that says whether a retry may help."""
    port = await answering(answer)
    url = f"redis://127.0.0.1:{port}"
    service = RedisQueueService(RedisSettings.model_validate({"url": url, "retry_seconds": 0}))

    with pytest.raises(kind) as refusal:
        await service.enqueue("process")

    assert type(refusal.value) is kind
    assert refusal.value.__cause__ is not None
    await service.aclose()


async def test_queue_in_another_format_is_left_alone(make: ServiceMaker) -> None:
    """A queue that a later version keeps in another format is refused by name, and nothing is written to it."""
    service = make()
    await service.client.set("{indiaai:default}:format", "2")

    with pytest.raises(ConfigurationError, match="format 2"):
        await service.enqueue("process")

    assert await service.client.keys("*") == [b"{indiaai:default}:format"]


async def test_strangers_key_in_the_way_is_said(make: ServiceMaker) -> None:
    """A key of another type under one of the queue's names is a QueueError with Redis's own words."""
    service = make()
    await service.client.set("{indiaai:default}:priorities", "not a sorted set")

    with pytest.raises(QueueError, match="WRONGTYPE"):
        await service.enqueue("process")


async def test_server_that_evicts_tasks_is_warned_of(
    make: ServiceMaker, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    """A maxmemory-policy that drops keys without a lifetime is warned of once."""
    service = make()
    await service.client.config_set("maxmemory-policy", "allkeys-lru")
    await service.client.config_set("maxmemory", "100mb")

    await service.check()
    await service.check()

    assert caplog.text.count("allkeys-lru") == 1


async def test_every_fault_of_the_client_is_ours(make: ServiceMaker, server: RedisServer) -> None:
    """Whatever method is called while the server is gone, the error is ours and the client's is its cause."""
    service = make(retry_seconds=0)
    await service.enqueue("process")
    task = await service.dequeue()
    assert task is not None
    server.kill()

    for call in (
        service.check(),
        service.dequeue(),
        service.dequeue(1),
        service.get_status("x"),
        service.update_status(task, "completed"),
        service.retry(task),
        service.release(task),
        service.cancel("x"),
        service.dead_letters(),
        service.requeue("x"),
        service.counts(),
        service.purge(),
    ):
        with pytest.raises(IndiaAIError) as refusal:
            await call
        assert isinstance(refusal.value, BackendUnavailable)
        assert refusal.value.__cause__ is not None
