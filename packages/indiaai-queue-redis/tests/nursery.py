"""A nursery of workers, as a program: it has loaded all that a worker needs, and forks one for each line on its input.

Started by `crew`. Arguments: the file that runs are written to, seconds that a handler waits at most, and the settings as JSON.
It answers each line with the worker's process id. A worker that is killed leaves no chance to say anything: each run is written
when it begins and when it ends, by one appending write, so that counting does not rest on the queue.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import signal
import sys
import time

from indiaai_core import Task
from indiaai_core.worker import Worker
from indiaai_queue_redis import RedisQueueService, RedisSettings


async def work(path: str, most_seconds: float, settings: str) -> None:
    """Work until killed."""
    worker = Worker(concurrency=10, blocking_seconds=None)
    runs = os.open(path, os.O_WRONLY | os.O_APPEND)

    def write(task: Task, what: str) -> None:
        line = f"{task.data['number']} {what} {os.getpid()} {time.monotonic()}\n"
        os.write(runs, line.encode())

    @worker.task("chaos")
    async def run(task: Task) -> None:
        write(task, "begins")
        await asyncio.sleep(random.uniform(0, most_seconds))  # noqa: S311 - a duration, not a secret
        write(task, "ends")

    await worker.run(RedisQueueService(RedisSettings.model_validate(json.loads(settings))))


def main() -> None:
    """Fork a worker for each line."""
    path, most_seconds, settings = sys.argv[1:]
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended
    for _ in sys.stdin:
        if (process := os.fork()) == 0:
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            random.seed()
            asyncio.run(work(path, float(most_seconds), settings))
            os._exit(0)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
