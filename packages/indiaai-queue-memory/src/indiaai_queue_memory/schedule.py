"""Records in the order of a number, of which any can be taken out; imported by the store."""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from indiaai_queue_memory.record import Record

__all__ = ["Schedule"]

Entry = tuple[float, int, int, Record]


class Schedule:
    """A heap in which what was taken out stays as a husk until it comes up, or until husks are the greater part.

    Every operation is O(log n), amortised; the memory is at most twice that of the records it holds.
    """

    def __init__(self) -> None:
        """Start empty."""
        self._heap: list[Entry] = []
        self._live: dict[Record, Entry] = {}
        self._pushes = 0

    def __len__(self) -> int:
        """Count the records, husks left out."""
        return len(self._live)

    def __iter__(self) -> Iterator[Record]:
        """Iterate over the records, in no order."""
        return iter(self._live)

    def push(self, record: Record, key: float) -> None:
        """Put a record in, or move it; the lowest key comes first, the lowest sequence among equal keys."""
        self.discard(record)
        self._pushes += 1  # a husk of the same record may have the same key: two entries are never equal
        entry = (key, record.sequence, self._pushes, record)
        self._live[record] = entry
        heappush(self._heap, entry)

    def discard(self, record: Record) -> None:
        """Take a record out, if it is in."""
        if self._live.pop(record, None) is not None and len(self._heap) > 2 * len(self._live) + 64:
            self._heap = list(self._live.values())
            heapify(self._heap)

    def first_key(self) -> float:
        """Return the lowest key; infinity if there is no record."""
        heap, live = self._heap, self._live
        while heap:
            if live.get(heap[0][3]) is heap[0]:
                return heap[0][0]
            heappop(heap)
        return float("inf")

    def pop(self) -> Record:
        """Take out the record with the lowest key. There must be one."""
        self.first_key()
        record = heappop(self._heap)[3]
        del self._live[record]
        return record
