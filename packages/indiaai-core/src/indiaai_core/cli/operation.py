"""What `indiaai queue` does: looks into one queue and mends it; imported by its commands when one is run."""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, TypeVar

import anyio

from indiaai_core.cli.instance import require_instance
from indiaai_core.cli.output import Progress, print_check, print_failure, print_json, print_notes, print_table, print_text
from indiaai_core.cli.place import queue_place
from indiaai_core.cli.running import Tally
from indiaai_core.environment import Environment
from indiaai_core.errors import ConfigurationError, IndiaAIError, TaskNotFound
from indiaai_core.platform import Platform
from indiaai_core.queue import LAYER, Counts, QueueService, TaskStatus
from indiaai_core.selection import Slot

__all__ = ["Operator"]

Found = TypeVar("Found")

SIDE_BY_SIDE = 32
"""How many calls are under way at once."""

BATCH = 500
"""How many dead letters are asked for at once: each may have 32,000 characters of error and traceback."""

SHOWN_ERROR_CHARACTERS = 200


class Operator:
    """Operates one queue; each method is a command, prints what came of it, and returns the exit status.

    The status is 0 where it was done, 1 where it was not, or not for all, and 2 where it was not asked for rightly.
    """

    def __init__(self, name: str | None, *, as_json: bool) -> None:
        """Hold which queue, and for whom to print.

        Args:
            name: The named instance; None for the main one.
            as_json: Whether a program reads it.
        """
        self._name = name
        self._as_json = as_json

    def counts(self) -> int:
        """Show how many tasks the queue holds."""
        return self._ask(lambda queue: queue.counts(), self._show_counts)

    def show(self, task_id: str) -> int:
        """Show what the queue knows about a task."""
        return self._ask(lambda queue: queue.get_status(task_id), self._show_status)

    def dead(self, limit: int) -> int:
        """List dead letters, the latest first."""

        async def find(queue: QueueService) -> tuple[list[TaskStatus], int | None]:
            return await queue.dead_letters(limit), await _dead_count(queue)

        return self._ask(find, self._show_letters)

    def requeue(self, ids: Iterable[str]) -> int:
        """Put tasks back into the queue."""
        return self._do(ids, "requeued", lambda queue: queue.requeue, refusal="it is neither failed nor cancelled")

    def cancel(self, ids: Iterable[str]) -> int:
        """Stop tasks from being worked."""
        return self._do(ids, "cancelled", lambda queue: queue.cancel, refusal="it had come to an end")

    def requeue_all_dead(self) -> int:
        """Put every dead letter back into the queue; one that fails again meanwhile is left."""
        return self._ask(_requeue_all_dead, lambda tally: self._show_tally(tally, "requeued"))

    def purge(self, *, is_confirmed: bool) -> int:
        """Forget every task that waits or is a dead letter, after asking a person."""
        if not is_confirmed:
            if not sys.stdin.isatty():
                print_failure("purge forgets tasks for good, and nobody is here to be asked. To go ahead, add --yes.")
                return 2
            return self._ask(_counts_if_known, self._confirm_purge)
        return self._ask(lambda queue: queue.purge(), self._show_purged)

    def _ask(self, question: Callable[[QueueService], Awaitable[Found]], show: Callable[[Found], int]) -> int:
        try:
            found: Found = anyio.run(self._with_queue, question)
        except IndiaAIError as error:
            print_failure(str(error))
            return 1
        except Exception as error:  # noqa: BLE001 - a stranger's backend may raise anything, and a person reads it
            print_failure(f"{type(error).__name__}: {error}")
            return 1
        return show(found)

    async def _with_queue(self, question: Callable[[QueueService], Awaitable[Found]]) -> Found:
        platform = Platform()
        try:
            require_instance(Slot(LAYER.name, self._name), platform.environment)
            queue: QueueService = platform.get_service(LAYER.name, self._name)
            if "in_process" in queue.capabilities:
                raise _lonely_queue(type(queue).__name__, platform.environment.for_instance(self._name))
            return await question(queue)
        finally:
            await platform.aclose()

    def _do(
        self,
        ids: Iterable[str],
        participle: str,
        verb: Callable[[QueueService], Callable[[str], Awaitable[bool]]],
        *,
        refusal: str,
    ) -> int:
        async def do_all(queue: QueueService) -> Tally:
            tally = Tally()
            await _do_each(dict.fromkeys(ids), verb(queue), tally=tally, refusal=refusal)
            return tally

        return self._ask(do_all, lambda tally: self._show_tally(tally, participle))

    def _show_counts(self, counts: Counts) -> int:
        if self._as_json:
            print_json(asdict(counts))
        else:
            print_table(["tasks", "count"], [[state, str(count)] for state, count in asdict(counts).items()])
        return 0

    def _show_status(self, status: TaskStatus) -> int:
        if self._as_json:
            print_json(_plain(status))
            return 0
        found = {name: value for name, value in _plain(status).items() if value is not None}
        traceback = found.pop("traceback", None)
        print_table(["", "task"], [[name.replace("_", " "), _text(value)] for name, value in found.items()])
        if traceback:
            print_text(traceback)
        return 0

    def _show_letters(self, found: tuple[list[TaskStatus], int | None]) -> int:
        letters, total = found
        if self._as_json:
            print_json([_plain(letter) for letter in letters])
            return 0
        print_table(
            ["id", "task", "attempts", "failed at", "error"],
            [[it.id, it.name, str(it.attempts), _instant(it.finished_at), _first_line(it.error)] for it in letters],
        )
        if total is not None and total > len(letters) > 0 and sys.stdout.isatty():
            print_notes([f"{len(letters)} of {total} dead letters; --limit shows more"])
        return 0

    def _show_tally(self, tally: Tally, participle: str) -> int:
        if self._as_json:
            print_json({participle: tally.done, "refused": tally.refused, "error": tally.error})
        else:
            for task_id, reason in tally.refused.items():
                print_check(task_id, reason, is_ok=False)
            print_text(f"{len(tally.done)} task{'' if len(tally.done) == 1 else 's'} {participle}")
        if tally.error:
            print_failure(tally.error)
        return tally.status

    def _confirm_purge(self, counts: Counts | None) -> int:
        import typer

        place = queue_place(self._name, Environment.read())
        what = "all tasks that wait and all dead letters"
        if counts is not None:
            what = f"{counts.pending + counts.delayed} tasks that wait and {counts.dead} dead letters"
        if not typer.confirm(f"Forget {what} of {place}, for good?", err=True):
            print_failure("Nothing was forgotten.")
            return 1
        return self.purge(is_confirmed=True)

    def _show_purged(self, count: int) -> int:
        if self._as_json:
            print_json({"purged": count})
        else:
            print_text(f"{count} task{'' if count == 1 else 's'} forgotten")
        return 0


async def _requeue_all_dead(queue: QueueService) -> Tally:
    """Requeue what is dead now, in batches, the latest first.

    What dies after the first batch was read, by the store's clock, is left: else a task that fails each time would be
    requeued for ever. It stands at the front of the list, so the next batch is larger by as much.
    """
    tally, seen, limit = Tally(), set[str](), BATCH
    latest: datetime | None = None
    with Progress("requeued", await _dead_count(queue)) as progress:
        while not tally.error:
            letters = await queue.dead_letters(limit)
            latest = latest or max((letter.finished_at for letter in letters if letter.finished_at), default=None)
            old = [it.id for it in letters if not (it.finished_at and latest and it.finished_at > latest)]
            new = [task_id for task_id in old if task_id not in seen]
            if not new and len(letters) < limit:
                break
            seen.update(new)
            limit = BATCH + len(letters) - len(new)
            await _do_each(new, queue.requeue, tally=tally, refusal="it is not failed any more", on_end=progress.advance)
    return tally


async def _do_each(
    ids: Iterable[str],
    operate: Callable[[str], Awaitable[bool]],
    *,
    tally: Tally,
    refusal: str,
    on_end: Callable[[], object] = lambda: None,
) -> None:
    """Do one thing to many tasks, side by side, until one meets an error that the others would meet too."""
    limiter = anyio.CapacityLimiter(SIDE_BY_SIDE)

    async def do_one(task_id: str) -> None:
        async with limiter:
            if tally.error:
                return
            try:
                if await operate(task_id):
                    tally.done.append(task_id)
                else:
                    tally.refused[task_id] = refusal
            except TaskNotFound:
                tally.refused[task_id] = "there is no such task, or its record has expired"
            except IndiaAIError as error:
                tally.error = str(error)
            on_end()

    async with anyio.create_task_group() as group:
        for task_id in ids:
            group.start_soon(do_one, task_id)


async def _dead_count(queue: QueueService) -> int | None:
    counts = await _counts_if_known(queue)
    return None if counts is None else counts.dead


async def _counts_if_known(queue: QueueService) -> Counts | None:
    return await queue.counts() if "counts" in queue.capabilities else None


def _lonely_queue(backend: str, environment: Environment) -> ConfigurationError:
    return ConfigurationError(
        f"{backend} lives in the application's process. This command is a process of its own, in which that queue is empty by "
        f"nature. Ask in the application, for example in an endpoint: `await get_queue_service().counts()`. Or set "
        f"{environment.variable(LAYER.variable)} to a queue that processes share."
    )


def _plain(status: TaskStatus) -> dict[str, Any]:
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in asdict(status).items()}


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    import json

    return json.dumps(value, ensure_ascii=False)


def _instant(instant: datetime | None) -> str:
    return f"{instant.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if instant else ""


def _first_line(text: str | None) -> str:
    return (text or "").strip().partition("\n")[0][:SHOWN_ERROR_CHARACTERS]
