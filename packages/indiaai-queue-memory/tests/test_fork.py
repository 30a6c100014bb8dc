"""What a process that is forked off sees of the queue."""

from __future__ import annotations

import subprocess
import sys
import textwrap

import pytest

SCRIPT = """
import asyncio, os, sys
from indiaai_queue_memory import InMemoryQueueService

queue = InMemoryQueueService()
asyncio.run(queue.enqueue("parent"))
queue._stores.get()._lock.acquire()  # as another thread may have done at the moment of the fork
child = os.fork()
if child == 0:
    async def main():
        assert await queue.dequeue() is None
        await queue.enqueue("child")
        task = await queue.dequeue()
        assert task.name == "child", task
    asyncio.run(main())
    os._exit(0)
queue._stores.get()._lock.release()
assert os.waitpid(child, 0)[1] == 0
task = asyncio.run(queue.dequeue())
assert task.name == "parent", task
assert asyncio.run(queue.dequeue()) is None
print("each has its own")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_forked_process_starts_with_an_empty_queue_of_its_own() -> None:
    """Nothing is worked twice, nothing is lost, and a lock that was held at the fork stops nobody."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(SCRIPT)], capture_output=True, text=True, timeout=30, check=False
    )

    assert done.stdout == "each has its own\n", done.stderr
