"""Stopping at signals, in a process and in one's own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import anyio
import pytest

from indiaai_core import TaskState, Worker
from worker_fakes import FakeQueue, until

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGTERM there"),
]


def handlers() -> list[object]:
    """Return what the signals do now."""
    return [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_gracefully(number: signal.Signals, queue: FakeQueue, worker: Worker) -> None:
    """At the first signal no task is taken any more, and those running finish."""
    before = handlers()

    @worker.task("process")
    async def process() -> str:
        os.kill(os.getpid(), number)
        await anyio.sleep(0.05)
        return "done"

    await queue.enqueue("process")
    with anyio.fail_after(5):
        await worker.run_forever(queue)

    assert queue.entry("task-1").result == "done"
    assert handlers() == before


async def test_a_second_signal_stops_at_once(queue: FakeQueue) -> None:
    """At the second signal running handlers are cancelled and given back, and a third does what it did before."""
    worker = Worker(grace_seconds=60)
    before = handlers()
    at_the_end: list[list[object]] = []

    @worker.task("process")
    async def process() -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await anyio.sleep_forever()
        finally:
            at_the_end.append(handlers())

    await queue.enqueue("process")
    with anyio.fail_after(5):
        await worker.run_forever(queue)

    assert queue.entry("task-1").state is TaskState.PENDING
    assert at_the_end == [before]


async def test_a_loop_without_signal_handlers_is_served_too(
    queue: FakeQueue, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the loop cannot handle signals, as on Windows, Python's own handler hands them to it."""

    def refuse(*_arguments: object) -> None:
        raise NotImplementedError

    monkeypatch.setattr(asyncio.get_running_loop(), "add_signal_handler", refuse, raising=False)
    monkeypatch.setattr(asyncio.get_running_loop(), "remove_signal_handler", refuse, raising=False)
    before = handlers()

    @worker.task("process")
    async def process() -> str:
        os.kill(os.getpid(), signal.SIGTERM)
        await anyio.sleep(0.05)
        return "done"

    await queue.enqueue("process")
    with anyio.fail_after(5):
        await worker.run_forever(queue)

    assert queue.entry("task-1").result == "done"
    assert handlers() == before


async def test_outside_of_the_main_thread_no_signal_is_handled(worker: Worker, caplog: pytest.LogCaptureFixture) -> None:
    """In another thread a worker runs all the same, and a warning says that no signal stops it."""
    results: list[object] = []

    async def work() -> None:
        queue = FakeQueue()
        await queue.enqueue("process")
        async with anyio.create_task_group() as group:
            group.start_soon(worker.run_forever, queue)
            await until(lambda: queue.entry("task-1").result)
            results.append(queue.entry("task-1").result)
            worker.stop()

    worker.task("process")(lambda: "done")
    thread = threading.Thread(target=asyncio.run, args=(work(),))
    thread.start()
    await asyncio.to_thread(thread.join, 5)

    assert results == ["done"]
    assert "does not run in the main thread and cannot stop at SIGTERM" in caplog.text


async def test_a_run_in_an_application_leaves_the_signals_alone(queue: FakeQueue, worker: Worker) -> None:
    """`run` and `running` touch no signal: they are the application's."""
    before = handlers()
    worker.task("process")(lambda: None)

    async with worker.running(queue):
        await anyio.sleep(0.01)
        meanwhile = handlers()

    assert meanwhile == before


@pytest.mark.parametrize(("signals", "printed"), [(1, "finished\nleft\n"), (2, "left\n")])
def test_a_process_ends_as_it_is_told(signals: int, printed: str, tmp_path: Path) -> None:
    """A worker's process ends by itself after one SIGTERM, its handler finished, and after two without waiting for it."""
    program = tmp_path / "program.py"
    program.write_text(
        textwrap.dedent(
            """
            import asyncio
            from worker_fakes import FakeQueue
            from indiaai_core import Worker

            worker = Worker()

            @worker.task("process")
            async def process():
                print("begun", flush=True)
                await asyncio.sleep(0.5)
                print("finished", flush=True)

            async def main():
                queue = FakeQueue()
                await queue.enqueue("process")
                await worker.run_forever(queue)
                print("left", flush=True)

            asyncio.run(main())
            """
        )
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parent.parent)}

    with subprocess.Popen([sys.executable, str(program)], stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        begun = process.stdout.readline()
        for _ in range(signals):
            process.send_signal(signal.SIGTERM)
            threading.Event().wait(0.1)
        rest, _ = process.communicate(timeout=10)

    assert (begun, rest, process.returncode) == ("begun\n", printed, 0)
