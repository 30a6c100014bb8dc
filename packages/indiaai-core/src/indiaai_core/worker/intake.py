"""Takes tasks from the queues of a run, ahead of need, and begins them as slots get free; imported by the worker's run."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import anyio

from indiaai_core.queue import Task
from indiaai_core.worker.leases import Interruption
from indiaai_core.worker.outage import Outage
from indiaai_core.worker.pace import Pace
from indiaai_core.worker.rate import RateLimit
from indiaai_core.worker.source import Delivery, Source
from indiaai_core.worker.throttle import Throttle

__all__ = ["Intake"]

SHORTEST_WAIT_SECONDS = 0.05
"""How long an empty answer may take at least: a backend that does not wait must not make a busy loop of ours."""

LARGEST_FETCH = 250
"""The most tasks of one call, so that the first of a large batch does not wait for the last to be read."""

IDLE_SECONDS = 0.1
"""A worker that waited that long for a task, with nothing to do, was idle."""

LONGEST_CLAIM_SECONDS = 0.25
"""How long slots are kept free for what a queue was asked for: one that does not answer must not cost the others theirs."""

LONGEST_STOCK_SECONDS = 1.0
"""After which what was leased ahead and has not begun is given back: the handlers have become slow."""

LAST_ANSWER_SECONDS = 1.0
"""How long a stop waits for the answer to a call that is under way, so that what it brings can be given back."""


class Intake:
    """The slots of a run, and what comes into them.

    A task is leased for a free slot or, as far as `Pace` says, ahead of need; then it waits in its queue's stock, its lease
    renewed like any other, for `LONGEST_STOCK_SECONDS` at most. So a round trip to the queue costs no slot its time, and
    no other worker is idle for want of what waits here.

    Several queues share the slots by turns: of those that have something, the one whose turn is lowest begins the next
    task, and its turn rises by 1 / weight. One that had nothing takes up at the common turn: it has saved up nothing and
    owes nothing. Where nothing is in stock, because handlers are slow, the same order says which queue is asked.

    A task that is delivered again may have ended the worker that had it. It is a suspect: it begins when nothing is in
    stock, and until it ends nothing is leased ahead. If it ends this worker too, no task that had not begun loses an attempt.
    """

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        concurrency: int,
        rate_limits: Mapping[str, RateLimit],
        begin: Callable[[Delivery], object],
    ) -> None:
        """Begin with all slots free.

        Args:
            sources: The queues.
            concurrency: How many slots there are, and how many deliveries of one queue may wait for their rate limit.
            rate_limits: By task name.
            begin: Begins a delivery; one without a slot is to be told of only, because it was interrupted.
        """
        self._sources = sources
        self._only = sources[0] if len(sources) == 1 else None
        self._weights = sum(source.weight for source in sources)
        self._begin = begin
        self._free = self._concurrency = concurrency
        self._stocked = 0
        self._suspects: deque[Delivery] = deque()
        self._suspects_begun = 0
        self._low = 0
        self._turn = 0.0
        self._is_closed = False
        self._is_filling = False
        self._pace = Pace()
        self._throttle = Throttle(rate_limits)
        self._is_limited = bool(rate_limits)
        self._timer: asyncio.TimerHandle | None = None
        self._has_stock = asyncio.Event()
        self._clock = asyncio.get_running_loop().time

    async def run(self) -> None:
        """Take tasks until cancelled."""
        async with anyio.create_task_group() as group:
            for source in self._sources:
                group.start_soon(self._feed, source)
            group.start_soon(self._return_stale)

    def close(self) -> None:
        """Begin nothing more, and hand out what was leased and not begun, each as interrupted by the stop."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        for source in self._sources:
            source.call.deadline = min(source.call.deadline, self._clock() + LAST_ANSWER_SECONDS)
        unbegun = [*self._throttle.empty(), *self._suspects, *(it for source in self._sources for it in source.stock)]
        self._suspects.clear()
        for source in self._sources:
            source.stock.clear()
        self._stocked = 0
        self._give_back(unbegun, Interruption.STOPPED)

    def accept(self, source: Source, tasks: Sequence[Task], *, asked_at: float) -> None:
        """Put an answer of a queue into its stock, and begin what there are slots for.

        Raises:
            TypeError: It holds something else than tasks; those before that are kept.
        """
        if tasks and not source.stock:
            source.turn = max(source.turn, self._turn)
        now = self._clock()
        try:
            for task in tasks:
                if not isinstance(task, Task):
                    raise TypeError(f"dequeue_many of {type(source.service).__name__} gave {task!r:.80} where a Task belongs.")
                delivery = Delivery(task, source, asked_at=asked_at, now=now)
                source.keeper.hold(delivery)
                if task.attempt > 1:
                    self._suspects.append(delivery)
                else:
                    source.stock.append(delivery)
                    self._stocked += 1
        finally:
            self.fill()
            if self._stocked or self._suspects:
                self._has_stock.set()

    def leave_slot(self, delivery: Delivery) -> None:
        """Free a delivery's slot, if it has one, for the next."""
        if delivery.has_slot:
            delivery.has_slot = False
            self._suspects_begun -= delivery.task.attempt > 1
            self._free += 1
            self._pace.worked += 1
            self.fill()

    def fill(self) -> None:
        """Begin deliveries as long as there are slots and deliveries; where those run low, have the queues asked."""
        if self._is_closed:
            self.close()  # what came with the last answer
            return
        if self._is_filling:
            # A delivery that ends as it begins, as with asyncio's eager tasks, comes back here: the loop below goes on.
            return
        self._is_filling = True
        try:
            while self._free > 0 and (delivery := self._next()) is not None:
                self._free -= 1
                delivery.has_slot = True
                self._suspects_begun += delivery.task.attempt > 1
                self._begin(delivery)
        finally:
            self._is_filling = False
        if self._suspects_begun and self._stocked:
            self._return_stock()  # it came with an answer that was under way
        if self._stocked <= self._low:
            for source in self._sources:
                source.has_room.set()

    def _next(self) -> Delivery | None:
        """Take out the delivery that is to begin next, if there is one."""
        now = self._clock()
        while (delivery := self._within_limits(now) if self._is_limited else self._take()) is not None:
            if delivery.interruption is None and delivery.ends_at > now:
                source = delivery.source
                self._turn = max(self._turn, source.turn)
                source.turn += 1 / source.weight
                return delivery
            # Lost, or over by our count while it waited: another may be working it. It is not begun.
            self._dismiss(delivery, Interruption.WAITED)
        if self._is_limited:
            self._wait_for_limits()
        return None

    def _within_limits(self, now: float) -> Delivery | None:
        if (waited := self._throttle.next_ready(now)) is not None:
            return waited
        while (delivery := self._take()) is not None:
            source = delivery.source
            if self._throttle.may_begin(delivery, now):
                return delivery
            if source.held < 2 * self._concurrency or not source.can_give_back:
                self._throttle.hold(delivery)
            else:
                self._dismiss(delivery, Interruption.WAITED)
        return None

    def _take(self) -> Delivery | None:
        if self._stocked:
            source = self._only or min((source for source in self._sources if source.stock), key=lambda source: source.turn)
            self._stocked -= 1
            return source.stock.popleft()
        return self._suspects.popleft() if self._suspects else None

    def _wait_for_limits(self) -> None:
        opens_at = self._throttle.opens_at()
        if opens_at is None or (self._timer is not None and self._timer.when() <= opens_at):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_at(opens_at, self._fill_again)

    def _fill_again(self) -> None:
        self._timer = None
        self.fill()

    def _return_stock(self) -> None:
        for source in self._sources:
            if source.can_give_back:
                unbegun = [*source.stock]
                source.stock.clear()
                self._stocked -= len(unbegun)
                self._give_back(unbegun, Interruption.WAITED)

    def _give_back(self, unbegun: Iterable[Delivery], why: Interruption) -> None:
        for delivery in reversed([*unbegun]):  # each goes to the front: the one that is to be first goes last
            self._dismiss(delivery, why)

    def _dismiss(self, delivery: Delivery, why: Interruption) -> None:
        delivery.interrupt(why)
        self._begin(delivery)

    async def _feed(self, source: Source) -> None:
        failures = 0
        while True:
            limit, wait_seconds = self._wanted(source)
            if limit <= 0:
                source.has_room.clear()
                await source.has_room.wait()
                continue
            try:
                await self._ask(source, limit, wait_seconds)
            except Exception as error:  # noqa: BLE001 - a worker outlives whatever its queue does
                source.is_dry = True  # the others are not to leave it its share meanwhile
                source.outage.began(error)
                failures += 1
                await anyio.sleep(Outage.wait_seconds(failures, error))
            else:
                failures = 0
                source.outage.ended()

    def _wanted(self, source: Source) -> tuple[int, float]:
        """Return how many tasks to ask a queue for now, and how long to wait for the first."""
        ahead = 0 if self._suspects or self._suspects_begun else self._pace.ahead()
        self._low = ahead // 2
        if self._is_closed or source.held >= self._concurrency or (self._free <= 0 and self._stocked > self._low):
            return 0, 0.0
        # Where some wait for their limit already, many that are fetched ahead would do the same. And a worker that is idle
        # asks for its slots only: how fast the next tasks will be it does not know.
        is_idle = source.is_dry and self._free == self._concurrency
        room = self._free + (ahead if source.can_give_back and not source.held and not is_idle else 0)
        if not source.is_dry:
            return min(self._share_of_next(source, room), LARGEST_FETCH), 0.0
        # Of an idle queue, what is its due if all others were busy, so that together they lease no more than there is room for.
        due = room if self._only else -(-room * source.weight // self._weights)
        return min(due - len(source.stock), LARGEST_FETCH), source.wait_seconds

    def _share_of_next(self, source: Source, room: int) -> int:
        """Return how many of the tasks that are to be leased next are this queue's by its turn."""
        lately = self._clock() - LONGEST_CLAIM_SECONDS
        wanted = room - self._stocked - sum(other.asked for other in self._sources if other.asked_at > lately)
        if self._only:
            return wanted
        rivals = [other for other in self._sources if not other.is_dry and not other.asked and other.held < self._concurrency]
        turns = {other: other.turn + len(other.stock) / other.weight for other in rivals}
        share = 0
        for _ in range(min(wanted, LARGEST_FETCH * len(rivals))):
            following = min(rivals, key=turns.__getitem__)
            turns[following] += 1 / following.weight
            share += following is source
        return share

    async def _ask(self, source: Source, limit: int, wait_seconds: float) -> None:
        asked_at = self._clock()
        source.asked, source.asked_at = (0 if wait_seconds else limit), asked_at
        # A call that does not wait is under way to its tasks: cut off by a stop, it would leave them to their leases.
        source.call = anyio.CancelScope(shield=not wait_seconds)
        try:
            with source.call:
                tasks = await source.service.dequeue_many(limit, wait_seconds)
        finally:
            source.asked = 0
        if source.call.cancelled_caught:
            return
        source.is_dry = len(tasks) < limit
        if self._free == self._concurrency and self._clock() - asked_at > IDLE_SECONDS:
            self._pace.restart()
        self.accept(source, tasks, asked_at=asked_at)
        if not tasks and wait_seconds:
            await anyio.sleep(max(0.0, asked_at + SHORTEST_WAIT_SECONDS - self._clock()))

    async def _return_stale(self) -> None:
        while True:
            await self._has_stock.wait()
            await anyio.sleep(LONGEST_STOCK_SECONDS / 2)
            arrived_before = self._clock() - LONGEST_STOCK_SECONDS
            for queue in (self._suspects, *(source.stock for source in self._sources)):
                self._give_back(_stale(queue, arrived_before), Interruption.WAITED)
            self._stocked = sum(len(source.stock) for source in self._sources)
            if not self._stocked and not self._suspects:
                self._has_stock.clear()


def _stale(waiting: deque[Delivery], arrived_before: float) -> Iterator[Delivery]:
    """Take out what arrived before a time."""
    while waiting and waiting[0].arrived_at <= arrived_before:
        yield waiting.popleft()
