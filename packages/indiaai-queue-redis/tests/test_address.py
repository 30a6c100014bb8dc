"""What `REDIS_URL` may be, and how a queue's keys and ids are dealt out to partitions."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core import InvalidSettings
from indiaai_queue_redis import RedisSettings
from indiaai_queue_redis.address import Address
from indiaai_queue_redis.partition import SLOTS, bases_of, mint, partition_of_id, partition_of_key, slot_of

ROOT = "{indiaai:default}:"


@pytest.mark.parametrize(
    ("url", "shown", "places", "plain"),
    [
        ("redis://", "redis://localhost:6379", (("localhost", 6379),), "redis:"),
        ("rediss://u:p%40@h/3?ssl_ca_certs=x", "rediss://h:6379/3", (("h", 6379),), "rediss://u:p%40@h/3?ssl_ca_certs=x"),
        ("redis://:p@[::1]:7000", "redis://[::1]:7000", (("::1", 7000),), "redis://:p@[::1]:7000"),
        ("redis://u:p@a:1,b", "redis://a:1,b:6379", (("a", 1), ("b", 6379)), "redis://u:p@a:1"),
        ("unix://u:p@/run/r.sock?db=2", "unix:///run/r.sock", (), "unix://u:p@/run/r.sock?db=2"),
        (
            "redis+sentinel://u:p@a,b:1/main/2?x=y",
            "redis+sentinel://a:26379,b:1/main/2",
            (("a", 26379), ("b", 1)),
            "redis://u:p@a:26379/2?x=y",
        ),
        ("rediss+sentinel://a/main", "rediss+sentinel://a:26379/main", (("a", 26379),), "rediss://a:26379/0"),
    ],
)
def test_address_is_taken_apart(url: str, shown: str, places: tuple[tuple[str, int], ...], plain: str) -> None:
    """Every form of the address gives whom to ask, what may be shown, and what the client is told."""
    address = Address.of(url)

    assert (address.shown, address.places, address.plain) == (shown, places, plain)
    assert "p@" not in repr(address)


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://u:hunter2@a:1",
        "redis+sentinel://u:hunter2@a:1/name/database",
        "redis+sentinel://u:hunter2@a:1,/name",
        "redis+sentinel://u:hunter2@a:0/name",
        "redis://u:hunter2@a,b:hunter2",
        "redis+tls://u:hunter2@a",
        "unix://u:hunter2@",
    ],
)
def test_bad_address_is_refused_without_being_shown(url: str) -> None:
    """An address of none of the forms is refused, and nothing of it is shown."""
    with pytest.raises(InvalidSettings) as refusal:
        RedisSettings.model_validate({"url": url})

    assert "hunter2" not in str(refusal.value)


def test_partitions_are_where_they_have_always_been() -> None:
    """The names of partitions are part of the format: they never change."""
    three = bases_of(ROOT, 3)

    assert bases_of(ROOT, 1) == (ROOT,)
    assert three == ("{indiaai:default:0.3}:", "{indiaai:default:1}:", "{indiaai:default:2.2}:")
    assert [partition_of_id(f"{'0' * 18}{n:04x}", 3) for n in (0, 1, 5, 0xFFFF)] == [0, 1, 2, 0]
    assert [partition_of_key(key, 12) for key in ("a", "invoice-7", "प्रक्रिया")] == [3, 8, 5]


@given(st.integers(1, 40), st.from_regex(r"\A\{[a-z.-]{1,9}:[a-z._-]{1,9}\}:\Z"))
def test_each_partition_lies_in_its_own_share_of_the_slots(count: int, root: str) -> None:
    """However many partitions, nodes with a range of slots each get as many of them, give or take one."""
    slots = [slot_of(base) for base in bases_of(root, count)]

    bounds = [number * SLOTS // count for number in range(count + 1)]
    assert all(first <= slot < end for first, slot, end in zip(bounds, slots, bounds[1:], strict=False)) or count == 1


@given(st.integers(1, 256), st.data())
def test_id_says_its_partition(count: int, data: st.DataObject) -> None:
    """A task's id names the partition that it was made for."""
    partition = data.draw(st.integers(0, count - 1))

    task_id = mint(partition, count)

    assert (len(task_id), partition_of_id(task_id, count)) == (22, partition)


@given(st.text(), st.integers(1, 256))
def test_any_id_and_key_has_a_partition(text: str, count: int) -> None:
    """An id that is not ours, or any dedupe key, belongs to one partition that there is."""
    assert 0 <= partition_of_id(text, count) < count
    assert 0 <= partition_of_key(text, count) < count
