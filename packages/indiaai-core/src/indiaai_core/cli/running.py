"""How a command does something with the services of a platform; imported by commands."""

from __future__ import annotations

import asyncio
import errno
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

import anyio
from anyio.streams.memory import MemoryObjectReceiveStream

from indiaai_core.cli.output import print_failure
from indiaai_core.errors import BackendUnavailable, ConfigurationError, IndiaAIError
from indiaai_core.platform import Platform

__all__ = ["Tally", "each", "run"]

T = TypeVar("T")


@dataclass(slots=True)
class Tally:
    """What became of many things: those that it was done to, the others with the reason, and what ended it early."""

    done: list[str] = field(default_factory=list)
    refused: dict[str, str] = field(default_factory=dict)
    error: str | None = None

    @property
    def status(self) -> int:
        """The exit status: 0 where it was done to all."""
        return 1 if self.refused or self.error else 0


def run(work: Callable[[Platform], Awaitable[int]]) -> int:
    """Do something with a platform, and return the exit status; what goes wrong is said, and is status 1.

    SIGTERM ends it as Ctrl-C does: what was begun is taken back.
    """

    async def with_platform() -> int:
        platform = Platform()
        try:
            with _cancelled_by(signal.SIGTERM):
                return await work(platform)
        finally:
            await platform.aclose()

    try:
        return anyio.run(with_platform)
    except (KeyboardInterrupt, asyncio.CancelledError) as error:
        number = signal.SIGINT if isinstance(error, KeyboardInterrupt) else signal.SIGTERM
        print_failure("Interrupted.")
        return 128 + number
    except BrokenPipeError:  # whoever reads what is printed has enough
        raise
    except (IndiaAIError, OSError) as error:
        print_failure(str(error))
    except ExceptionGroup as errors:
        if errors.subgroup(BrokenPipeError):
            raise BrokenPipeError(errno.EPIPE, "nobody reads what is printed") from None
        print_failure("; ".join(f"{type(error).__name__}: {error}" for error in errors.exceptions))
    except Exception as error:  # noqa: BLE001 - a stranger's backend may raise anything, and a person reads it
        print_failure(f"{type(error).__name__}: {error}")
    return 1


@contextmanager
def _cancelled_by(number: signal.Signals) -> Iterator[None]:
    loop, task = asyncio.get_running_loop(), cast("asyncio.Task[Any]", asyncio.current_task())
    try:
        loop.add_signal_handler(number, task.cancel)
    except (NotImplementedError, ValueError, RuntimeError):  # Windows, or not the main thread
        yield
        return
    try:
        yield
    finally:
        loop.remove_signal_handler(number)


async def each(
    items: AsyncIterator[T],
    work: Callable[[T], Awaitable[bool | None]],
    *,
    name: Callable[[T], str],
    tally: Tally,
    at_once: int,
) -> None:
    """Do something to each of many, side by side, until one meets what the others would meet, too.

    Args:
        items: What to do it to; never more of them are held than are worked.
        work: Does it; what it returns False for was left, and is not counted.
        name: Names one of them in the tally.
        tally: Takes what came of it.
        at_once: How many at a time.
    """
    give, shares = anyio.create_memory_object_stream[T](0)

    async def take(share: MemoryObjectReceiveStream[T]) -> None:
        async with share:
            async for item in share:
                if not tally.error:
                    await _do(work, item, name=name(item), tally=tally)

    async with anyio.create_task_group() as group:
        for _ in range(at_once):
            group.start_soon(take, shares.clone())
        shares.close()
        async with give:
            try:
                async for item in items:
                    await give.send(item)
                    if tally.error:
                        break
            except IndiaAIError as error:  # what they are could not be found out
                tally.error = str(error)


async def _do(work: Callable[[T], Awaitable[bool | None]], item: T, *, name: str, tally: Tally) -> None:
    try:
        if await work(item) is not False:
            tally.done.append(name)
    except BrokenPipeError:
        raise
    except (BackendUnavailable, ConfigurationError) as error:
        tally.error = str(error)
    except (IndiaAIError, OSError) as error:
        tally.refused[name] = str(error)
