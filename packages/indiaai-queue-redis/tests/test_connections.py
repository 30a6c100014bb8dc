"""What the service does to loops, processes and sockets."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading

import anyio
import pytest

from indiaai_core import BackendUnavailable
from indiaai_queue_redis import RedisQueueService, RedisSettings
from redisserver import RedisServer, ServiceMaker


def settings_for(server: RedisServer, **values: object) -> RedisSettings:
    """Return settings for a server."""
    return RedisSettings.model_validate({"url": server.url(), **values})


def test_importing_the_package_does_not_load_the_client() -> None:
    """Who does not use the backend does not wait for its client."""
    code = "import sys, indiaai_queue_redis; sys.exit('redis' in sys.modules or 'hiredis' in sys.modules)"

    finished = subprocess.run([sys.executable, "-c", code], check=False)

    assert finished.returncode == 0


def test_what_speaks_to_servers_is_loaded_beside_the_event_loop() -> None:
    """The first call loads what speaks to servers in a thread: the event loop goes on meanwhile."""
    code = """
import asyncio, sys, threading
from indiaai_core import BackendUnavailable
from indiaai_queue_redis import RedisQueueService, RedisSettings

class Watch:
    def find_spec(self, name, path=None, target=None):
        if name.startswith(("redis", "hiredis")):
            threads.add(threading.current_thread() is threading.main_thread())

async def main():
    url = "redis://127.0.0.1:1" + OPTIONS
    service = RedisQueueService(RedisSettings.model_validate({"url": url, "retry_seconds": 0}))
    try:
        await service.counts()
    except BackendUnavailable:
        pass
    await service.aclose()

threads = set()
sys.meta_path.insert(0, Watch())
asyncio.run(main())
sys.exit(threads != {False})
"""
    for options in ("", "?health_check_interval=30"):
        finished = subprocess.run([sys.executable, "-c", code.replace("OPTIONS", repr(options))], check=False)

        assert finished.returncode == 0


def test_worker_does_without_the_client(shared_server: RedisServer) -> None:
    """Tasks are enqueued, waited for and settled, and faults are said, without a third of a worker's memory: redis-py."""
    code = f"""
import asyncio, sys
from indiaai_core import BackendUnavailable
from indiaai_queue_redis import RedisQueueService, RedisSettings

async def work(url, **settings):
    settings = RedisSettings.model_validate({{"url": url, "queue_name": "lean", **settings}})
    async with RedisQueueService(settings) as service:
        await service.check()
        await service.enqueue("process")
        task = await service.dequeue(1)
        assert await service.update_status(task, "completed")

async def main():
    await work({shared_server.url()!r})
    await work({f"unix://{shared_server.unix_socket}"!r})
    try:
        await work("redis://127.0.0.1:1", retry_seconds=0)
    except BackendUnavailable:
        pass

asyncio.run(main())
sys.exit("redis" in sys.modules)
"""

    finished = subprocess.run([sys.executable, "-c", code], check=False)

    assert finished.returncode == 0


def test_making_a_service_needs_no_loop_and_no_server() -> None:
    """A service is made without connecting."""
    service = RedisQueueService(RedisSettings.model_validate({"url": "redis://127.0.0.1:1"}))

    assert service.lease_seconds == 30


def test_service_is_used_from_one_loop_after_another(shared_server: RedisServer) -> None:
    """Each loop has connections of its own, which end with it; nothing is left to warn of."""
    service = RedisQueueService(settings_for(shared_server, queue_name="loops"))

    task_id = asyncio.run(service.enqueue("process"))
    task = asyncio.run(service.dequeue())
    gc.collect()

    assert task is not None
    assert task.id == task_id
    assert asyncio.run(service.update_status(task_id, "completed"))
    asyncio.run(service.aclose())


@pytest.mark.anyio
async def test_close_ends_the_connections_of_a_loop_in_another_thread(make: ServiceMaker) -> None:
    """`aclose` closes what other running loops opened, too."""
    service = make()
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    future = asyncio.run_coroutine_threadsafe(service.enqueue("process"), loop)
    await asyncio.wrap_future(future)
    await service.enqueue("process")
    observer = make()

    await service.aclose()

    clients = await observer.client.client_list()
    loop.call_soon_threadsafe(loop.stop)
    await anyio.to_thread.run_sync(thread.join)
    loop.close()
    assert len(clients) == 1


@pytest.mark.anyio
async def test_close_leaves_no_connection(make: ServiceMaker) -> None:
    """After `aclose` the server has no client left of those that worked and those that waited."""
    service, observer = make(), make()
    await asyncio.gather(*(service.enqueue("process") for _ in range(20)))
    await asyncio.gather(*(service.dequeue_many(20, 0.05) for _ in range(5)))

    await service.aclose()

    clients = await observer.client.client_list()
    assert len(clients) == 1
    with pytest.raises(BackendUnavailable, match="closed"):
        await service.counts()


@pytest.mark.anyio
async def test_many_calls_share_few_connections(make: ServiceMaker) -> None:
    """Calls beyond `max_connections` wait for their turn and do not fail."""
    service = make(max_connections=2)

    ids = await asyncio.gather(*(service.enqueue("process") for _ in range(200)))

    assert len(set(ids)) == 200
    assert len(await service.client.client_list()) <= 2


def test_child_of_a_fork_has_connections_of_its_own(shared_server: RedisServer) -> None:
    """After a fork, parent and child go on without reading each other's replies."""
    service = RedisQueueService(settings_for(shared_server, queue_name="forks"))

    async def use() -> bool:
        task_id = await service.enqueue("process")
        return (await service.get_status(task_id)).id == task_id

    async def fork_and_use() -> int:
        assert await use()
        child = os.fork()
        if child == 0:
            threading.Thread(target=lambda: os._exit(0 if asyncio.run(use()) else 1)).start()
            threading.Event().wait(20)
            os._exit(2)
        for _ in range(20):
            assert await use()
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        await service.purge()
        await service.aclose()
        return os.waitstatus_to_exitcode(status)

    assert asyncio.run(fork_and_use()) == 0


@pytest.mark.anyio
async def test_unix_socket_is_an_address(make: ServiceMaker, shared_server: RedisServer) -> None:
    """`unix://` reaches the server by its socket."""
    service = make(url=f"unix://{shared_server.unix_socket}")

    task_id = await service.enqueue("process")

    assert (await service.get_status(task_id)).id == task_id


@pytest.mark.anyio
async def test_idle_worker_is_not_polling(make: ServiceMaker) -> None:
    """A call that waits for a second sends a handful of commands, however often it could ask."""
    service, observer = make(lease_seconds=30), make()
    await service.dequeue()
    before = (await observer.client.info("stats"))["total_commands_processed"]

    await service.dequeue(timeout=1)

    after = (await observer.client.info("stats"))["total_commands_processed"]
    assert after - before < 30


@pytest.mark.anyio
async def test_shortest_wait_has_an_end(make: ServiceMaker) -> None:
    """A wait of less than a millisecond, as for a lease that is about to run out, is short on each server."""
    service = make(timeout_seconds=20)
    await service.counts()
    link = service._links.current  # what asks for so short a wait cannot be made to by the clock

    with anyio.fail_after(10):
        await link.evaluate("counts", [0, 1000, 1000, 10, 0], partition=0, block_seconds=0.0)
