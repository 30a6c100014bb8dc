"""Runs the contenders side by side: a process for each in every round, and each cell through all of them in shuffled order.

Imported by the storage benchmarks. A worker is the benchmark's own script, started with `--worker CONTENDER`: it says hello
as one line of JSON, then answers each line of JSON on its input with one on its output.
"""

from __future__ import annotations

import asyncio
import json
import random
import select
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, TextIO

from storage.samples import Samples

__all__ = ["Cell", "Worker", "WorkerFailed", "run_phase", "serve"]

ANSWER_SECONDS = 60.0

Cell = Mapping[str, Any]
Answer = Callable[[Cell], Awaitable[dict[str, float]]]


class WorkerFailed(Exception):
    """A contender is not installed, or broke down; the message says which and why."""


class Worker:
    """The process of one contender, for one phase of one round."""

    def __init__(self, script: str, contender: str, options: Mapping[str, Any], *, python: str = sys.executable) -> None:
        """Start the process and wait until its client is ready.

        Args:
            script: The benchmark whose worker it is.
            contender: The contender's name.
            options: What the worker is started with.
            python: The interpreter of the contender's environment, where that is one of its own.

        Raises:
            WorkerFailed: It did not get that far.
        """
        self.contender = contender
        command = [python, script, "--worker", contender, "--options", json.dumps(dict(options))]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.hello = self._answer()

    def ask(self, cell: Cell) -> dict[str, float]:
        """Let the contender do a cell, and return its figures.

        Raises:
            WorkerFailed: It broke down or does not answer.
        """
        self._pipe(self._process.stdin).write(json.dumps(dict(cell)) + "\n")
        self._pipe(self._process.stdin).flush()
        return self._answer(cell.get("patience_seconds", ANSWER_SECONDS))

    def close(self) -> None:
        """End the process: kindly, then not."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()

    def _answer(self, patience_seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        output = self._pipe(self._process.stdout)
        ready, _, _ = select.select([output], [], [], patience_seconds)
        line = output.readline() if ready else ""
        if not line.startswith("{"):
            self._process.kill()
            said = self._process.communicate()[1].strip().splitlines() or [f"no answer within {patience_seconds:g} s"]
            raise WorkerFailed(f"{self.contender}: {said[-1]}")
        answer: dict[str, Any] = json.loads(line)
        if "missing" in answer:
            self.close()
            raise WorkerFailed(f"{self.contender}: {answer['missing']}")
        return answer

    @staticmethod
    def _pipe(pipe: Any) -> TextIO:
        return pipe  # type: ignore[no-any-return] # Popen types its pipes as optional; these are asked for


def run_phase(
    samples: Samples,
    *,
    phase: str,
    script: str,
    contenders: Sequence[str],
    cells: Sequence[Cell],
    options: Mapping[str, Any],
    before: Callable[[], None] = lambda: None,
    is_last: bool = True,
) -> None:
    """Run one round of a phase and keep its figures; a contender that breaks down is noted and left out of the rest.

    Args:
        samples: Where the figures go.
        phase: The phase's name.
        script: The benchmark whose workers do it.
        contenders: Their names.
        cells: What each does; a cell's `name` is its name in the samples, and `turns` how often each does it.
        options: What each worker is started with.
        before: Called before each contender's turn at a cell.
        is_last: Whether this ends the round; False where more contenders follow.
    """
    with ExitStack() as stack:
        workers = [
            worker
            for name in random.sample(contenders, len(contenders))
            for worker in _start(samples, stack, phase=phase, name=name, script=script, options=options)
        ]
        for cell in cells:
            for turn in range(cell.get("turns", 1)):
                for worker in random.sample(workers, len(workers)):
                    before()
                    try:
                        samples.add(phase, cell["name"], contender=worker.contender, figures=worker.ask(cell), turn=turn)
                    except WorkerFailed as failure:
                        samples.note(phase, f"{cell['name']}: {failure}")
                        workers.remove(worker)
    if is_last:
        samples.end_round(phase)


def _start(
    samples: Samples, stack: ExitStack, *, phase: str, name: str, script: str, options: Mapping[str, Any]
) -> list[Worker]:
    try:
        worker = Worker(script, name, options)
    except WorkerFailed as failure:
        samples.note(phase, f"{failure}")
        return []
    stack.callback(worker.close)
    samples.add(phase, "start", contender=name, figures=worker.hello)
    return [worker]


async def serve(hello: Mapping[str, Any], answer: Answer) -> None:
    """Say hello, then answer cells until there are no more; the event loop runs on meanwhile."""
    _say(hello)
    while line := await asyncio.to_thread(sys.stdin.readline):
        _say(await answer(json.loads(line)))


def _say(figures: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(dict(figures)) + "\n")
    sys.stdout.flush()
