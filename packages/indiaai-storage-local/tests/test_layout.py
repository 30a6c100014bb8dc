"""Any key has a file of its own on any file system."""

from __future__ import annotations

import re
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from indiaai_core.storage import normalize_key
from indiaai_core.testing.storage import samples
from indiaai_storage_local.layout import decode_name, encode_key, encode_part, key_of, plain_path

RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)( *\..*)?", re.IGNORECASE)

ANY_KEY = samples.keys().map(normalize_key)
LONG_KEY = st.text("aA%क.é", min_size=1, max_size=1024).filter(samples.suits_a_key).map(normalize_key)


def seen_by(system: str, names: tuple[str, ...]) -> str:
    """Return what tells a path from another where case, form or invisible characters do not."""
    path = "/".join(names)
    if system == "case-insensitive":
        return unicodedata.normalize("NFD", unicodedata.normalize("NFD", path).casefold())
    if system == "upper-casing":
        return path.upper()
    return "".join(character for character in unicodedata.normalize("NFKD", path) if unicodedata.category(character) != "Cf")


@given(st.one_of(ANY_KEY, LONG_KEY))
def test_a_key_comes_back_from_its_names(key: str) -> None:
    """The names lead back to the key, also on a file system that hands them out decomposed."""
    names = encode_key(key)

    assert key_of(names) == key
    assert key_of(tuple(unicodedata.normalize("NFD", name) for name in names)) == key


@given(st.one_of(ANY_KEY, LONG_KEY))
def test_a_name_suits_every_file_system(key: str) -> None:
    """No name is too long, hidden, a device, or ends in what Windows drops."""
    for name in encode_key(key):
        assert 1 <= len(name.encode()) <= 143
        assert not name.startswith(".")
        assert not name.endswith((".", " "))
        assert not RESERVED.fullmatch(name)
        assert not set(name) & set('<>:"|?*\\/\0')


@pytest.mark.parametrize("system", ["case-insensitive", "upper-casing", "form-insensitive"])
@given(keys=st.lists(st.one_of(ANY_KEY, st.sampled_from(samples.ODD_KEYS)), min_size=2, max_size=8, unique=True))
def test_keys_differ_where_case_and_form_do_not_count(system: str, keys: list[str]) -> None:
    """Different keys have different names on a file system that sees less of a difference."""
    variants = {normalize_key(form) for key in keys for form in (key, key.lower(), key.upper(), key.swapcase()) if form}
    fitting = {key for key in variants if samples.suits_a_key(key)}

    assert len({seen_by(system, encode_key(key)) for key in fitting}) == len(fitting)


@given(st.lists(st.one_of(ANY_KEY, LONG_KEY), min_size=2, max_size=6, unique=True))
def test_no_object_is_in_the_way_of_another(keys: list[str]) -> None:
    """No key's file is a folder of another's, whichever is a prefix of which."""
    files = {encode_key(key) for key in keys}
    folders = {encode_key(key)[:depth] for key in keys for depth in range(1, len(encode_key(key)))}

    assert not files & folders


PLAIN = st.lists(
    st.one_of(
        st.text("acnopruxt.019-_$ ", min_size=1, max_size=40), st.sampled_from(["con", "aux.txt", "lpt1", "com10", "nul."])
    ),
    min_size=1,
    max_size=5,
).map("/".join)


@given(PLAIN.filter(samples.suits_a_key))
def test_the_quick_way_gives_the_same_names(key: str) -> None:
    """A plain key's path is what the rules give, part by part; and only a key has one."""
    *folders, leaf = key.split("/")
    names = (*(name for part in folders for name in encode_part(part, "%")), *encode_part(leaf, ""))

    assert encode_key(key) == names
    assert plain_path(key) in (None, "/".join(names))


@given(st.one_of(st.text("a./-", max_size=12), st.text(max_size=5), PLAIN))
def test_what_is_no_key_has_no_quick_way(text: str) -> None:
    """What is taken for plain needs no other check."""
    if plain_path(text) is not None:
        assert normalize_key(text) == text


def test_names_are_read_as_the_key_is() -> None:
    """What is safe everywhere stays as it is, Indian scripts and emoji among it."""
    assert encode_key("हिन्दी/दस्तावेज़ 1.pdf") == ("हिन्दी%", "दस्तावेज़ 1.pdf")
    assert encode_key("தமிழ்/🙏.txt") == ("தமிழ்%", "🙏.txt")
    assert encode_key("a/README.md") == ("a%", "%52%45%41%44%4D%45.md")


def test_a_long_part_goes_over_several_levels() -> None:
    """A part is cut after 128 bytes, never within an escape, and its folder names say that it goes on."""
    *folders, leaf = encode_key("A" * 100)

    assert [decode_name(name) for name in (*folders, leaf)] == [b"A" * 42, b"A" * 42, b"A" * 16]
    assert all(name.endswith("%%") for name in folders)


@pytest.mark.parametrize(
    "names",
    [("README",), ("%61",), ("a%2f",), ("..%", "x"), (".DS_Store",), ("a", "b"), ("%FF",), ("%",), ("a%%", "b"), ("a%",)],
)
def test_names_that_no_key_has_lead_to_none(names: tuple[str, ...]) -> None:
    """A file that somebody else put there is nobody's object."""
    assert key_of(names) is None
