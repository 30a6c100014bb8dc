"""The R2 rule server keeps objects as R2 does: conditions, ranges, copies, metadata, listings."""

from __future__ import annotations

import base64
import gzip
import hashlib
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from r2 import R2Server, StoredObject
from raw import RawAnswer, RawClient

ETAG = f'"{hashlib.md5(b"content", usedforsecurity=False).hexdigest()}"'
OTHER = f'"{"0" * 32}"'
BEFORE, AFTER = (format_datetime(datetime.now(UTC) + timedelta(days=days), usegmt=True) for days in (-1, 1))


@pytest.fixture
def client(server: R2Server) -> RawClient:
    """Whoever has the token that the server knows."""
    return RawClient(server.endpoint)


@pytest.fixture
def stored(client: RawClient) -> RawAnswer:
    """One object of seven bytes."""
    return client.ask("PUT", "/bucket/key", b"content", Content_Type="text/plain", x_amz_meta_name="value")


@pytest.mark.parametrize(
    ("header", "value", "statuses"),
    [
        ("if_match", ETAG, (200, 200)),
        ("if_match", OTHER, (412, 412)),
        ("if_match", f"{OTHER}, {ETAG}", (200, 200)),
        ("if_none_match", ETAG, (304, 412)),
        ("if_none_match", "*", (304, 412)),
        ("if_none_match", OTHER, (200, 200)),
        ("if_modified_since", BEFORE, (200, 200)),
        ("if_modified_since", AFTER, (304, 412)),
        ("if_unmodified_since", AFTER, (200, 200)),
        ("if_unmodified_since", BEFORE, (412, 412)),
    ],
)
@pytest.mark.usefixtures("stored")
def test_conditions_hold(client: RawClient, header: str, value: str, statuses: tuple[int, int]) -> None:
    """A condition decides on GET, HEAD and PUT, and on a copy with the copy's own headers for source and target."""
    source = {"x_amz_copy_source": "/bucket/key"}
    client.ask("PUT", "/bucket/target", b"content")

    got = client.ask("GET", "/bucket/key", **{header: value})
    head = client.ask("HEAD", "/bucket/key", **{header: value})
    copied = client.ask("PUT", "/bucket/copy", **source, **{f"x_amz_copy_source_{header}": value})
    onto = client.ask("PUT", "/bucket/target", **source, **{f"cf_copy_destination_{header}": value})
    put = client.ask("PUT", "/bucket/key", b"content", **{header: value})

    assert (got.status, head.status) == (statuses[0], statuses[0])
    assert (put.status, copied.status, onto.status) == (statuses[1],) * 3


def test_a_condition_on_what_is_not_there(client: RawClient) -> None:
    """`*` stores only where there is nothing, and If-Match only where there is something."""
    refused = client.ask("PUT", "/bucket/new", b"", if_match="*")
    stored = client.ask("PUT", "/bucket/new", b"", if_none_match="*")
    again = client.ask("PUT", "/bucket/new", b"", if_none_match="*")

    assert (refused.refusal, stored.status, again.refusal) == (
        (412, "PreconditionFailed"),
        200,
        (412, "PreconditionFailed"),
    )


@pytest.mark.parametrize(
    ("header", "status", "body", "shown"),
    [
        ("bytes=0-0", 206, b"c", "bytes 0-0/7"),
        ("bytes=3-", 206, b"tent", "bytes 3-6/7"),
        ("bytes=5-99", 206, b"nt", "bytes 5-6/7"),
        ("bytes=-2", 206, b"nt", "bytes 5-6/7"),
        ("rubbish", 200, b"content", None),
    ],
)
@pytest.mark.usefixtures("stored")
def test_ranges(client: RawClient, header: str, status: int, body: bytes, shown: str | None) -> None:
    """A range gives the bytes and says which; one that makes no sense gives all."""
    answer = client.ask("GET", "/bucket/key", Range=header)

    assert (answer.status, answer.body, answer.headers.get("content-range")) == (status, body, shown)


@pytest.mark.usefixtures("stored")
def test_a_range_behind_the_end_is_refused(client: RawClient) -> None:
    """What begins at the end or later is not satisfiable."""
    assert client.ask("GET", "/bucket/key", Range="bytes=7-").refusal == (416, "InvalidRange")


def test_a_get_shows_what_was_stored(client: RawClient, stored: RawAnswer) -> None:
    """ETag, type and metadata come back; a presigned URL may ask for another type and disposition."""
    url = client.presign("GET", "/bucket/key?response-content-type=text%2Fcsv&response-content-disposition=attachment")

    got, overridden = client.ask("GET", "/bucket/key"), client.send("GET", url)

    assert stored.headers["etag"] == got.headers["etag"] == ETAG
    assert (got.headers["content-type"], got.headers["x-amz-meta-name"]) == ("text/plain", "value")
    assert (overridden.headers["content-type"], overridden.headers["content-disposition"]) == ("text/csv", "attachment")


def test_a_type_is_sniffed_where_none_is_sent(client: RawClient) -> None:
    """Without Content-Type, what begins as a page is taken for one."""
    client.ask("PUT", "/bucket/page", b"<html>")
    client.ask("PUT", "/bucket/bytes", b"\0\1")

    types = [client.ask("HEAD", f"/bucket/{name}").headers["content-type"] for name in ("page", "bytes")]

    assert types == ["text/html", "application/octet-stream"]


@pytest.mark.usefixtures("stored")
def test_compressible_content_is_compressed_for_whoever_takes_it(client: RawClient) -> None:
    """With `Accept-Encoding: gzip` a text comes compressed and without its length."""
    answer = client.ask("GET", "/bucket/key", Accept_Encoding="gzip")

    assert gzip.decompress(answer.body) == b"content"
    assert "content-length" not in answer.headers


def test_composed_and_decomposed_spellings_are_one_object(client: RawClient) -> None:
    """Either spelling finds it, and a listing shows the one that was uploaded last."""
    client.ask("PUT", "/bucket/%C3%A9", b"composed")
    client.ask("PUT", "/bucket/e%CC%81", b"decomposed")

    assert client.ask("GET", "/bucket/%C3%A9").body == b"decomposed"
    assert client.ask("GET", "/bucket?list-type=2").find_all("Key") == ["e\u0301"]


@pytest.mark.usefixtures("stored")
def test_a_copy_takes_its_metadata_as_told(client: RawClient) -> None:
    """COPY keeps, REPLACE replaces, MERGE does both; a copy onto itself has to change something."""
    source = {"x_amz_copy_source": "bucket/key", "x_amz_meta_more": "added"}

    for directive in ("COPY", "REPLACE", "MERGE"):
        client.ask("PUT", f"/bucket/{directive}", **source, x_amz_metadata_directive=directive)
    heads = [client.ask("HEAD", f"/bucket/{directive}").headers for directive in ("COPY", "REPLACE", "MERGE")]

    assert [(head.get("x-amz-meta-name"), head.get("x-amz-meta-more")) for head in heads] == [
        ("value", None),
        (None, "added"),
        ("value", "added"),
    ]
    assert client.ask("PUT", "/bucket/key", x_amz_copy_source="bucket/key").refusal == (400, "InvalidRequest")
    assert client.ask("PUT", "/bucket/x", x_amz_copy_source="bucket/missing").refusal == (404, "NoSuchKey")


def test_metadata_are_bounded_and_decoded(server: R2Server, client: RawClient) -> None:
    """8,192 bytes are let in and no more; an encoded word is decoded and comes back as one; odd names are counted."""
    fits = client.ask("PUT", "/bucket/fits", b"", x_amz_meta_a="x" * 8191)
    exceeds = client.ask("PUT", "/bucket/exceeds", b"", x_amz_meta_a="x" * 8192)
    client.ask("PUT", "/bucket/word", b"", x_amz_meta_a="=?utf-8?b?4KSV?=", x_amz_meta_b="=?utf-8?q?plain?=")
    server.objects["/bucket/named"] = StoredObject(b"", {"x-amz-meta-क": "1", "x-amz-meta-k": "2"})

    word, named = client.ask("HEAD", "/bucket/word").headers, client.ask("HEAD", "/bucket/named").headers

    assert (fits.status, exceeds.refusal) == (200, (400, "MetadataTooLarge"))
    assert server.objects["/bucket/word"].headers["x-amz-meta-a"] == "क"
    assert (word["x-amz-meta-a"], word["x-amz-meta-b"]) == ("=?utf-8?b?4KSV?=", "plain")
    assert (named["x-amz-missing-meta"], named["x-amz-meta-k"]) == ("1", "2")


def test_a_key_takes_one_write_in_an_interval(server: R2Server, client: RawClient) -> None:
    """The second write to a key is 429 until the interval is over; another key is written meanwhile."""
    server.write_interval_seconds = 0.2

    statuses = [client.ask("PUT", path, b"content").status for path in ("/bucket/a", "/bucket/a", "/bucket/b")]
    time.sleep(0.2)  # the interval itself
    later = client.ask("PUT", "/bucket/a", b"content")

    assert statuses == [200, 429, 200]
    assert later.status == 200


def test_a_locked_object_stays(server: R2Server, client: RawClient) -> None:
    """Below a locked prefix a new object is stored, and none is replaced or deleted."""
    server.locked_prefixes = ("/bucket/kept/",)

    stored = client.ask("PUT", "/bucket/kept/key", b"content")
    refused = [client.ask("PUT", "/bucket/kept/key", b""), client.ask("DELETE", "/bucket/kept/key")]

    assert stored.status == 200
    assert [answer.refusal for answer in refused] == [(403, "ObjectLockedByBucketPolicy")] * 2


def test_a_listing_has_pages_in_byte_order(client: RawClient) -> None:
    """Keys come in the order of their UTF-8 bytes, a page at a time, from one place on, quoted if that is asked for."""
    for key in ("b", "a/2", "a/1", "a%2B%20b", "%F0%9F%99%8F", "%EF%BC%A1"):
        client.ask("PUT", f"/bucket/{key}", b"")

    first = client.ask("GET", "/bucket?list-type=2&max-keys=4")
    token = first.find("NextContinuationToken").replace("+", "%2B").replace("=", "%3D").replace("/", "%2F")
    second = client.ask("GET", f"/bucket?continuation-token={token}&list-type=2&max-keys=4")
    grouped = client.ask("GET", "/bucket?delimiter=%2F&list-type=2&prefix=a")
    quoted = client.ask("GET", "/bucket?encoding-type=url&list-type=2&prefix=a%2B")
    later = client.ask("GET", "/bucket?list-type=2&start-after=b")

    assert first.find_all("Key") == ["a+ b", "a/1", "a/2", "b"]
    assert (first.find("IsTruncated"), second.find("IsTruncated")) == ("true", "false")
    assert second.find_all("Key") == later.find_all("Key") == ["Ａ", "🙏"]
    assert (grouped.find_all("Key"), grouped.find_all("Prefix")) == (["a+ b"], ["a/"])
    assert quoted.find_all("Key") == ["a%2B%20b"]


def test_a_listing_takes_no_parameter_that_it_does_not_know(client: RawClient) -> None:
    """An unknown parameter is not implemented, and a token that was made up is refused."""
    assert client.ask("GET", "/bucket?list-type=2&sorted=yes").refusal == (501, "NotImplemented")
    assert client.ask("GET", "/bucket?continuation-token=x&list-type=2").refusal == (400, "InvalidArgument")


def test_a_delete_of_nothing_is_no_fault(client: RawClient, stored: RawAnswer) -> None:
    """DELETE is 204 with an object and without one."""
    answers = [client.ask("DELETE", "/bucket/key").status, client.ask("DELETE", "/bucket/key").status]

    assert (stored.status, answers) == (200, [204, 204])


def test_a_bulk_delete_needs_its_digest_and_takes_a_thousand(server: R2Server, client: RawClient) -> None:
    """Without Content-MD5 it is refused, with more than a thousand keys too; otherwise all of them are gone."""

    def delete(count: int, *, with_digest: bool = True) -> RawAnswer:
        keys = "".join(f"<Object><Key>key-{number}</Key></Object>" for number in range(count))
        body = f"<Delete>{keys}</Delete>".encode()
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        return client.ask("POST", "/bucket?delete", body, **({"Content_MD5": digest} if with_digest else {}))

    client.ask("PUT", "/bucket/key-0", b"")

    refused = [delete(1, with_digest=False), delete(1001), delete(0)]
    deleted = delete(1000)

    assert [answer.code for answer in refused] == ["MissingContentMD5", "MalformedXML", "MalformedXML"]
    assert len(deleted.find_all("Deleted")) == 1000
    assert server.objects == {}
