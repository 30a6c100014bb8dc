"""The keys and payloads that the promises are tried on; imported by them alone."""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterable
from functools import cache
from itertools import takewhile
from urllib.parse import quote, unquote
from uuid import uuid4

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from indiaai_core.storage import MAX_KEY_BYTES, StorageService, normalize_key

__all__ = [
    "INVALID_KEYS",
    "MEBIBYTE",
    "ODD_KEYS",
    "PROPERTY",
    "collect",
    "difference",
    "fresh_folder",
    "keys",
    "keys_under",
    "listed",
    "lookalikes",
    "pattern",
    "payloads",
    "suits_a_key",
]

MEBIBYTE = 1024 * 1024

INVALID_KEYS = (
    "",
    "/",
    "/absolute",
    "folder/",
    "a//b",
    ".",
    "..",
    "../escape",
    "a/../b",
    "a/./b",
    "a/..",
    "C:\\windows",
    "a\\b",
    "nul\0",
    "line\nbreak",
    "bell\x07",
    "delete\x7f",
    "next\x85line",
    "lone\ud800surrogate",
    "k" * (MAX_KEY_BYTES + 1),
    "क" * 342,
    "k" * 2_000,
)

ODD_KEYS = (
    "two words",
    " spaces at both ends ",
    "100%",
    "100%25",
    "a%2Fb",
    "a+b",
    "what?",
    "who?x=1&y=2",
    "#fragment",
    "semi;colon,comma=equals&and",
    "quotes'\"`",
    "~tilde!@$^*()[]{}<>|:",
    "हिन्दी/दस्तावेज़.pdf",
    "தமிழ்/ஆவணம்.txt",
    "emoji/🙏🏽/👩‍👩‍👧",
    "क्‍ष",
    "क्ष",
    ".hidden",
    "...",
    "trailing.",
    "trailing./dot",
    "con",
    "aux.txt/nul",
    "a/b/c/d/e/f/g/h",
    "ß",
    "ss",
    "ı",
    "i",
    "\ufeffbom",
    "non\u00a0breaking",
)
"""Keys that path rules, quoting, shells or file systems stumble over; each is an object of its own."""

# An example shares the store with the examples before it, so each works under keys of its own. anyio's plugin runs the
# coroutine under `given` in the test's own event loop, where the fixtures live.
PROPERTY = settings(
    max_examples=25,
    deadline=None,
    database=None,
    suppress_health_check=[
        HealthCheck.function_scoped_fixture,
        HealthCheck.differing_executors,
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
    ],
)


def suits_a_key(key: str) -> bool:
    """Return whether `normalize_key` takes it."""
    try:
        normalize_key(key)
    except ValueError:
        return False
    return True


def keys(*, max_parts: int = 4) -> st.SearchStrategy[str]:
    """Make valid keys of any assigned characters, not normalised yet.

    Args:
        max_parts: The most parts between `/`.
    """
    character = st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters="/\\")
    part = st.one_of(st.text(character, min_size=1, max_size=40), st.sampled_from("aAbB%é%2F क"), st.just("x" * 200))
    return st.lists(part, min_size=1, max_size=max_parts).map("/".join).filter(suits_a_key)


def keys_under(folder: str, names: list[str]) -> list[str]:
    """Return keys below a folder, those left out that would name the same object or be too long."""
    made = {normalize_key(f"{folder}/{name}") for name in names if suits_a_key(f"{folder}/{name}")}
    return sorted(made)


def lookalikes(key: str) -> list[str]:
    """Return valid keys that are easily taken for this one: other case, quoted, unquoted, a space or a part more or less."""
    near = (
        key.swapcase(),
        quote(key, safe="/"),
        unquote(key),
        key.replace(" ", "+"),
        key.replace("+", " "),
        f"{key} ",
        f" {key}",
        f"{key}.",
        f"{key}/a",
        f"{key}%",
        key.rpartition("/")[0],
        key[:-1],
        unicodedata.normalize("NFKC", key),
    )
    same = normalize_key(key)
    return sorted({other for other in near if suits_a_key(other) and normalize_key(other) != same})


def payloads(*, max_bytes: int = 4096) -> st.SearchStrategy[bytes]:
    """Make payloads of up to `max_bytes` bytes."""
    return st.binary(max_size=max_bytes)


def fresh_folder() -> str:
    """Return a folder that no key was in before."""
    return f"property/{uuid4().hex}"


def pattern(size: int, *, salt: int = 0) -> bytes:
    """Return bytes in which no two places look alike for long.

    Args:
        size: How many.
        salt: Another one gives other bytes everywhere.
    """
    block = _block(salt)
    return (block * (size // len(block) + 1))[:size]


@cache
def _block(salt: int) -> bytes:
    return bytes((index * 7 + salt + index // 251) % 256 for index in range(64_000))


def difference(found: bytes, *versions: bytes) -> str:
    """Return in words what is wrong with bytes, of which a report had better not show all; nothing if nothing is.

    Args:
        found: What came.
        versions: What is right, any of them.
    """
    if found in versions:
        return ""
    expected = min(versions, key=lambda version: abs(len(version) - len(found)))
    blocks = range(0, len(expected), 4096)
    at = next((start for start in blocks if found[start : start + 4096] != expected[start : start + 4096]), len(expected))
    alike = takewhile(lambda pair: pair[0] == pair[1], zip(found[at : at + 4096], expected[at : at + 4096], strict=False))
    place = at + sum(1 for _ in alike)
    return f"{len(found)} bytes came and {len(expected)} were expected; they differ from byte {place} on"


async def collect(stream: AsyncIterable[bytes]) -> bytes:
    """Return all that a stream gives."""
    return b"".join([chunk async for chunk in stream])


async def listed(service: StorageService, prefix: str = "", *, limit: int | None = None) -> list[str]:
    """Return the keys that `list` gives."""
    return [info.key async for info in service.list(prefix, limit=limit)]
