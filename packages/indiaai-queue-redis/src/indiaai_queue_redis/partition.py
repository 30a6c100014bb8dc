"""How a queue is spread over partitions: which key belongs to which; imported by the servers and the service.

The rules are part of the format, `docs/reference/formats/queue-redis.md`: every client must come to the same answers.
"""

from __future__ import annotations

import os
import zlib
from binascii import crc_hqx
from itertools import count as count_from

__all__ = ["SLOTS", "bases_of", "mint", "mint_many", "partition_of_id", "partition_of_key", "slot_of"]

SLOTS = 16_384
"""The hash slots of every Redis Cluster."""


def slot_of(base: str) -> int:
    """Return the slot of the keys that begin with a base, such as `{indiaai:default}:`."""
    return crc_hqx(base[1 : base.index("}")].encode(), 0) % SLOTS


def bases_of(root: str, count: int) -> tuple[str, ...]:
    """Return what the keys of each partition begin with: the root itself for one partition.

    Of several, each has a name whose slot lies in its own share of all slots, so that the nodes of a cluster, which have ranges
    of slots, get as many partitions each. Left to chance, one of three nodes had none of twelve in one queue of forty.
    """
    if count == 1:
        return (root,)
    return tuple(_base(root[1 : root.index("}")], number, count) for number in range(count))


def _base(name: str, number: int, count: int) -> str:
    shares = range(number * SLOTS // count, (number + 1) * SLOTS // count)
    tries = (f"{{{name}:{number}{f'.{n}' if n else ''}}}:" for n in count_from())
    return next(base for base in tries if slot_of(base) in shares)


def mint(partition: int, count: int) -> str:
    """Make a task's id: 22 hexadecimal digits, of which the last four, modulo `count`, are its partition."""
    random = int.from_bytes(os.urandom(11), "big")
    last = (random & 0xFFFF) // count * count + partition
    return f"{random >> 16:018x}{last if last < 0x10000 else partition:04x}"


def mint_many(number: int, *, partition: int, count: int) -> list[str]:
    """Make as many ids as `mint` does one by one; of a queue that is not spread any 22 digits will do."""
    if count > 1:
        return [mint(partition, count) for _ in range(number)]
    digits = os.urandom(11 * number).hex()
    return [digits[first : first + 22] for first in range(0, 22 * number, 22)]


def partition_of_id(task_id: str, count: int) -> int:
    """Return the number of the partition that has a task; an id that none has may be looked for in any."""
    try:
        return int(task_id[-4:], 16) % count
    except ValueError:
        return 0


def partition_of_key(dedupe_key: str, count: int) -> int:
    """Return the number of the partition where a dedupe key is held: its CRC-32, modulo `count`."""
    return zlib.crc32(dedupe_key.encode()) % count
