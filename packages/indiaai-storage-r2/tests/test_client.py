"""What the client costs, and where it may be used: threads, event loops, processes."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import anyio
import pytest

from indiaai_storage_r2 import R2StorageService
from making import ACCESS_KEY_ID, SECRET, ServiceMaker, make_settings
from r2 import Fault, R2Server

PROGRAM = """
import asyncio, os, sys
from indiaai_storage_r2 import R2Settings, R2StorageService
token = dict(zip(("endpoint_url", "access_key_id", "secret_access_key"), sys.argv[1:]))
service = R2StorageService(R2Settings(bucket_name="bucket", **token))
asyncio.run(service.upload("parent", b"parent"))
child = os.fork()
if not child:
    try:
        content = asyncio.run(service.download("parent"))
        asyncio.run(service.upload("child", content))
        asyncio.run(service.aclose())
    except BaseException:
        os._exit(1)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
asyncio.run(service.upload("again", b"again"))
asyncio.run(service.aclose())
"""


def test_boto3_is_loaded_by_the_first_call_alone() -> None:
    """Importing the package and making a service load neither boto3 nor what it stands on."""
    program = (
        "import sys; from indiaai_storage_r2 import *; R2StorageService(R2Settings("
        "account_id='a', bucket_name='bucket', access_key_id='b', secret_access_key='c'));"
        "print(sorted({'boto3', 'botocore', 's3transfer', 'urllib3'} & set(sys.modules)))"
    )

    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout

    assert loaded.strip() == "[]"


def test_event_loops_share_a_service(server: R2Server) -> None:
    """A service that one event loop has used works in the next one, and one that was closed opens again."""
    service = R2StorageService(make_settings(server.endpoint))

    asyncio.run(service.upload("key", b"content"))
    content = asyncio.run(service.download("key"))
    asyncio.run(service.aclose())
    asyncio.run(service.aclose())
    again = asyncio.run(service.download("key"))
    asyncio.run(service.aclose())

    assert content == again == b"content"


def test_threads_share_a_service(server: R2Server) -> None:
    """Event loops in several threads that come first at once go on with one client."""
    service = R2StorageService(make_settings(server.endpoint))
    barrier = threading.Barrier(6)

    def use(number: int) -> int:
        barrier.wait(10)
        asyncio.run(service.upload(f"key-{number}", b"content"))
        return id(service.client)

    with ThreadPoolExecutor(6) as pool:
        clients = set(pool.map(use, range(6)))
    asyncio.run(service.aclose())

    assert len(clients) == 1
    assert len(server.objects) == 6


def test_a_forked_process_goes_on(server: R2Server) -> None:
    """After a fork, parent and child use the same service, each with a client of its own."""
    ended = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, server.endpoint, ACCESS_KEY_ID, SECRET],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 0, ended.stderr
    assert {path.rpartition("/")[2] for path in server.objects} == {"parent", "child", "again"}


@pytest.mark.anyio
async def test_the_event_loop_runs_on_while_the_store_is_slow(server: R2Server, service: R2StorageService) -> None:
    """Every call waits in a thread: the loop that called is free to answer others, or the store itself."""
    answering = threading.Event()
    server.faults = [Fault("PUT", until=answering)]

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(service.upload, "key", b"content")
        while not server.requests:  # noqa: ASYNC110 - what is waited for happens in a server's thread
            await anyio.sleep(0.01)
        answering.set()

    assert server.objects["/bucket/key"].content == b"content"


@pytest.mark.anyio
async def test_threads_are_bounded(server: R2Server, make_service: ServiceMaker) -> None:
    """However many calls there are at once, no more requests are under way than the pool allows."""
    service = make_service(server.endpoint, pool_size=3)
    await service.upload("key", b"content")

    async with anyio.create_task_group() as tasks:
        for _ in range(40):
            tasks.start_soon(service.download, "key")

    names = [thread.name for thread in threading.enumerate() if thread.name.startswith("indiaai-r2")]
    assert 1 <= len(names) <= 3
    assert server.methods().count("GET") == 40


@pytest.mark.anyio
async def test_close_ends_the_threads(server: R2Server) -> None:
    """After `aclose` none of the service's threads is left."""
    service = R2StorageService(make_settings(server.endpoint))
    await service.upload("key", b"content")
    async for _ in service.stream("key"):
        break

    await service.aclose()

    assert not [thread.name for thread in threading.enumerate() if thread.name.startswith("indiaai-r2")]


@pytest.mark.anyio
async def test_the_client_is_boto3_s_own(server: R2Server, service: R2StorageService) -> None:
    """For what the interface does not cover, boto3's client is there, set up for R2."""
    service.client.put_object(Bucket="bucket", Key="key", Body=b"content")

    assert await service.download("key") == b"content"
    assert service.client.meta.region_name == "auto"
    assert SECRET not in repr(service.client)
