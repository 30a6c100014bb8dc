"""The R2 rule server puts parts together as R2 does, and refuses what R2 has not implemented."""

from __future__ import annotations

import base64
import hashlib
import socket
import zlib

import pytest

from r2 import R2Server
from raw import RawAnswer, RawClient

MIB = 1024 * 1024
PART = bytes(5 * MIB)


@pytest.fixture
def client(server: R2Server) -> RawClient:
    """Whoever has the token that the server knows."""
    return RawClient(server.endpoint)


def begin(client: RawClient) -> str:
    """Begin an upload and return its id, quoted."""
    upload_id = client.ask("POST", "/bucket/key?uploads").find("UploadId")
    assert "/" in upload_id
    assert "+" in upload_id
    return upload_id.replace("/", "%2F").replace("+", "%2B").replace("=", "%3D")


def put(client: RawClient, upload_id: str, number: int, content: bytes) -> RawAnswer:
    """Send one part."""
    return client.ask("PUT", f"/bucket/key?partNumber={number}&uploadId={upload_id}", content)


def complete(client: RawClient, upload_id: str, parts: list[tuple[int, bytes]], **headers: str) -> RawAnswer:
    """Put parts together."""
    tags = [(number, hashlib.md5(part, usedforsecurity=False).hexdigest()) for number, part in parts]
    listed = "".join(f"<Part><ETag>&quot;{tag}&quot;</ETag><PartNumber>{number}</PartNumber></Part>" for number, tag in tags)
    document = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
    return client.ask("POST", f"/bucket/key?uploadId={upload_id}", document, **headers)


@pytest.mark.parametrize(
    ("sizes", "code"),
    [
        ((5, 5, 1), ""),
        ((5, 5, 5), ""),
        ((1,), ""),
        ((5, 6, 5), "InvalidPart"),
        ((5, 6), "InvalidPart"),
        ((1, 1), "EntityTooSmall"),
    ],
)
def test_parts_have_one_length(client: RawClient, sizes: tuple[int, ...], code: str) -> None:
    """All parts but the last are of one length, which is 5 MiB or more; it is found out when they are put together."""
    upload_id = begin(client)
    parts = [(number, bytes(size * MIB)) for number, size in enumerate(sizes, 1)]

    sent = [put(client, upload_id, number, part).status for number, part in parts]
    completed = complete(client, upload_id, parts)

    assert sent == [200] * len(parts)
    assert completed.code == code
    if not code:
        digests = b"".join(hashlib.md5(part, usedforsecurity=False).digest() for _, part in parts)
        digest = hashlib.md5(digests, usedforsecurity=False).hexdigest()
        assert client.ask("HEAD", "/bucket/key").headers["etag"] == f'"{digest}-{len(parts)}"'


def test_parts_are_named_as_they_were_stored(client: RawClient) -> None:
    """Another digest, a part that is not there, no order, no part at all and no XML are refused, and the upload stays."""
    upload_id = begin(client)
    put(client, upload_id, 1, PART)
    put(client, upload_id, 2, b"end")

    codes = [
        complete(client, upload_id, parts).code
        for parts in ([(1, b"other")], [(1, PART), (3, b"end")], [(2, b"end"), (1, PART)], [])
    ]
    rubbish = client.ask("POST", f"/bucket/key?uploadId={upload_id}", b"<")

    assert codes == ["InvalidPart", "InvalidPart", "InvalidPartOrder", "MalformedXML"]
    assert rubbish.code == "MalformedXML"
    assert complete(client, upload_id, [(1, PART), (2, b"end")]).status == 200


@pytest.mark.parametrize("number", [0, 10_001, "one"])
def test_a_part_has_a_number_up_to_ten_thousand(client: RawClient, number: int) -> None:
    """Other numbers are refused."""
    assert put(client, begin(client), number, b"").refusal == (400, "InvalidArgument")


def test_an_upload_ends_once(server: R2Server, client: RawClient) -> None:
    """Completed or aborted, it is not there any more; with `+` unquoted its id is another one."""
    first, second = begin(client), begin(client)
    put(client, first, 1, b"content")

    ended = [complete(client, first, [(1, b"content")]).status, client.ask("DELETE", f"/bucket/key?uploadId={second}").status]
    refused = [put(client, upload_id, 1, b"") for upload_id in (first, second)]

    assert ended == [200, 204]
    assert [answer.refusal for answer in refused] == [(404, "NoSuchUpload")] * 2
    assert server.uploads == {}


def test_a_condition_that_fails_ends_the_upload(server: R2Server, client: RawClient) -> None:
    """A conditional completion that is refused takes the upload with it."""
    client.ask("PUT", "/bucket/key", b"old")
    upload_id = begin(client)
    put(client, upload_id, 1, b"new")

    refused = complete(client, upload_id, [(1, b"new")], if_none_match="*")

    assert refused.refusal == (412, "PreconditionFailed")
    assert server.uploads == {}
    assert server.objects["/bucket/key"].content == b"old"


def test_a_part_that_does_not_arrive_takes_the_earlier_one_with_it(server: R2Server, client: RawClient) -> None:
    """Sent again under its number and broken off, a part is lost."""
    upload_id = begin(client)
    put(client, upload_id, 1, b"first")
    head = f"PUT /bucket/key?partNumber=1&uploadId={upload_id} HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\n"

    with socket.create_connection(("127.0.0.1", server.port)) as connection:
        connection.sendall(head.encode() + b"sec")
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""

    assert complete(client, upload_id, [(1, b"first")]).code == "InvalidPart"


def test_a_part_may_be_copied(client: RawClient) -> None:
    """A part can be a range of an object, without conditions."""
    client.ask("PUT", "/bucket/source", b"0123456789")
    upload_id = begin(client)
    path = f"/bucket/key?partNumber=1&uploadId={upload_id}"
    source = {"x_amz_copy_source": "/bucket/source", "x_amz_copy_source_range": "bytes=2-4"}

    refused = client.ask("PUT", path, **source, x_amz_copy_source_if_match="*")
    copied = client.ask("PUT", path, **source)
    complete(client, upload_id, [(1, b"234")])

    assert (refused.status, copied.status) == (501, 200)
    assert client.ask("GET", "/bucket/key").body == b"234"


def test_parts_and_uploads_are_listed(client: RawClient) -> None:
    """What was begun and not ended is listed with its id, its parts by number and by page."""
    upload_id = begin(client)
    for number in (2, 1, 3):
        put(client, upload_id, number, bytes(number))

    uploads = client.ask("GET", "/bucket?uploads")
    first = client.ask("GET", f"/bucket/key?max-parts=2&uploadId={upload_id}")
    second = client.ask("GET", f"/bucket/key?max-parts=2&part-number-marker=2&uploadId={upload_id}")

    assert uploads.find_all("Key") == ["key"]
    assert (first.find_all("PartNumber"), second.find_all("PartNumber")) == (["1", "2"], ["3"])
    assert (first.find_all("Size"), first.find("IsTruncated"), second.find("IsTruncated")) == (["1", "2"], "true", "false")


@pytest.mark.parametrize(
    ("header", "value"),
    [
        ("x_amz_acl", "private"),
        ("x_amz_grant_read", "id=0"),
        ("x_amz_tagging", "a=b"),
        ("x_amz_server_side_encryption", "AES256"),
        ("x_amz_server_side_encryption_aws_kms_key_id", "0"),
        ("x_amz_object_lock_mode", "GOVERNANCE"),
        ("x_amz_website_redirect_location", "/"),
        ("x_amz_request_payer", "requester"),
        ("x_amz_expected_bucket_owner", "0"),
        ("x_amz_checksum_crc32", "AAAAAA=="),
        ("x_amz_trailer", "x-amz-checksum-crc32"),
        ("content_encoding", "aws-chunked"),
        ("x_amz_decoded_content_length", "0"),
    ],
)
def test_a_header_that_is_not_implemented_is_refused(client: RawClient, header: str, value: str) -> None:
    """It is 501, and nothing is stored."""
    answer = client.ask("PUT", "/bucket/key", b"content", **{header: value})

    assert answer.refusal == (501, "NotImplemented")
    assert client.ask("HEAD", "/bucket/key").status == 404


def test_two_headers_that_others_refuse_are_taken(client: RawClient) -> None:
    """`public-read` and a customer's own key are."""
    answers = [
        client.ask("PUT", "/bucket/a", b"", x_amz_acl="public-read"),
        client.ask("PUT", "/bucket/b", b"", x_amz_server_side_encryption_customer_algorithm="AES256"),
    ]

    assert [answer.status for answer in answers] == [200, 200]


@pytest.mark.parametrize("name", ["acl", "tagging", "versioning", "policy", "object-lock", "retention", "website"])
def test_a_subresource_that_is_not_implemented_is_refused(client: RawClient, name: str) -> None:
    """Of an object and of a bucket, to read and to write."""
    answers = [client.ask(method, f"{path}?{name}") for method in ("GET", "PUT") for path in ("/bucket", "/bucket/key")]

    assert [answer.refusal for answer in answers] == [(501, "NotImplemented")] * 4


def test_a_form_is_not_implemented(client: RawClient) -> None:
    """POST policies are none of R2's."""
    answer = client.send("POST", "/bucket", b"--x--", Content_Type="multipart/form-data; boundary=x")

    assert answer.refusal == (501, "NotImplemented")


def test_checksums_can_be_taken(server: R2Server, client: RawClient) -> None:
    """Where plain checksum headers are taken they are checked; whole-object types hold for CRC64NVME alone."""
    server.takes_checksums = True
    right = base64.b64encode(zlib.crc32(b"content").to_bytes(4, "big")).decode()

    answers = [
        client.ask("PUT", "/bucket/key", b"content", x_amz_checksum_crc32=right),
        client.ask("PUT", "/bucket/key", b"content", x_amz_checksum_crc32="AAAAAA=="),
        client.ask("PUT", "/bucket/key", b"content", x_amz_checksum_sha256=right),
        client.ask("POST", "/bucket/key?uploads", x_amz_checksum_type="FULL_OBJECT", x_amz_checksum_algorithm="CRC32"),
        client.ask("POST", "/bucket/key?uploads", x_amz_checksum_type="COMPOSITE", x_amz_checksum_algorithm="CRC64NVME"),
        client.ask("POST", "/bucket/key?uploads", x_amz_checksum_type="COMPOSITE", x_amz_checksum_algorithm="CRC32"),
    ]

    assert [answer.status for answer in answers] == [200, 400, 400, 501, 501, 200]


def test_a_digest_is_checked(client: RawClient) -> None:
    """A Content-MD5 that is not the body's, or none at all, is refused."""
    answers = [client.ask("PUT", "/bucket/key", b"content", Content_MD5=digest) for digest in ("x", f"{'A' * 22}==")]

    assert [answer.refusal for answer in answers] == [(400, "InvalidDigest"), (400, "BadDigest")]


def test_sizes_are_bounded(client: RawClient) -> None:
    """A key has 1,024 bytes at most, one PUT 5 GiB less 5 MiB, a body its length said."""
    gib = 1024**3

    key = client.ask("PUT", f"/bucket/{'k' * 1025}", b"")
    put_too_large = client.send("PUT", "/bucket/key", Content_Length=str(5 * gib - 5 * MIB + 1))
    part_too_large = client.send("PUT", "/bucket/key?partNumber=1&uploadId=x", Content_Length=str(5 * gib + 1))
    unsaid = client.send("PUT", "/bucket/key", b"0\r\n\r\n", Transfer_Encoding="chunked")

    assert key.refusal == (400, "InvalidObjectName")
    assert put_too_large.refusal == part_too_large.refusal == (400, "EntityTooLarge")
    assert unsaid.refusal == (411, "MissingContentLength")


def test_100_is_never_answered(server: R2Server) -> None:
    """A client that waits for `100 Continue` waits in vain."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=0.2) as connection:
        connection.sendall(b"PUT /bucket/key HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")

        with pytest.raises(TimeoutError):
            connection.recv(1)


def test_errors_may_have_no_message(server: R2Server, client: RawClient) -> None:
    """R2's errors come with a message or without one."""
    server.says_why = False

    answer = client.ask("GET", "/bucket/missing")

    assert answer.refusal == (404, "NoSuchKey")
    assert answer.find_all("Message") == []
