"""R2 is not S3: each difference that concerns a client, and that the service gets it right, on both data planes.

| difference | R2 |
| --- | --- |
| D01 | the account's own host, another for each jurisdiction |
| D02 | region `auto` |
| D03 | SigV4 only |
| D04 | path style |
| D05, D06 | refuses checksum headers, and chunks with a checksum behind them, which clients send over TLS only |
| D07 | refuses bodies that are signed in chunks |
| D08 | wants Content-MD5 with a bulk delete, and takes a thousand keys |
| D09 | never answers `Expect: 100-continue` |
| D10 | wants all parts but the last of one length |
| D11 | keeps unfinished uploads for a week |
| D12 | has the MD5s of the parts in an ETag |
| D13 | gives upload ids with `/` and `+` |
| D14 | signs URLs for a week at most, and for its own host only |
| D15, D16 | binds a client's PUT by its content type; a checksum in such a URL would be that of nothing |
| D17 | decides on conditions, and ends an upload whose condition failed |
| D18 | copies within the store |
| D19 | refuses ACLs, tags, encryption and locks in headers, and unknown list parameters |
| D20 | locks objects by the bucket's policy |
| D21 | takes one write a second to a key |
| D22 | fails in passing with 500, 503 and two kinds of 400 |
| D23 | has its own words for wrong credentials, and tokens that may not list buckets |
| D24 | gives temporary credentials a session token |
| D25 | takes composed and decomposed keys for one |
| D26 | keeps dot segments, which clients of URLs do not |
| D27 | unquotes keys once |
| D28 | decodes metadata by RFC 2047 and takes 8,192 bytes of them |
| D29 | takes 5 GiB less 5 MiB in one PUT |
| D30 | is strongly consistent: the conformance suite's second service |
| D31 | compresses for whoever takes it, and then does not say the length |
| D32 | leaves out messages, and guesses a type where none is sent |
| D33, D34 | has two more hosts, of public buckets and of the account's API, that the service never asks |
| D35 | loses a part when the one that was to replace it does not arrive |
| D36 | creates a bucket on demand, if it is told to, which the service never does |
"""

from __future__ import annotations

import time
from urllib.parse import parse_qs, urlsplit

import pytest

from fetch import fetch_with
from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    InvalidKey,
    InvalidRequest,
    InvalidSettings,
    ObjectExists,
    ObjectNotFound,
)
from indiaai_storage_r2 import R2StorageService, RequestRefused
from making import ACCESS_KEY_ID, SECRET, ServiceMaker, make_settings
from r2 import Fault, R2Server, Token, refusal

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024
LARGE = bytes(range(256)) * (48 * 1024)
ODD_KEYS = ["!'()*", "100%25", "a+b", "who?x=1&y=2", "#fragment", "two words", "~$@;:,=", "हिन्दी/🙏🏽", "a%2Fb"]


@pytest.fixture(autouse=True)
def difference(request: pytest.FixtureRequest) -> str:
    """The difference that a test is about; it stands in the test's id."""
    return str(request.param)


def about(*numbers: int) -> pytest.MarkDecorator:
    """Say which differences a test is about."""
    return pytest.mark.parametrize("difference", ["+".join(f"D{number:02}" for number in numbers)], indirect=True)


@pytest.fixture
def service(make_service: ServiceMaker, server: R2Server, plane: str) -> R2StorageService:
    """A service on the server with R2's rules, on each data plane."""
    return make_service(server.endpoint, data_plane=plane)


async def use_everything(service: R2StorageService) -> None:
    """Make every kind of request that the service makes."""
    await service.upload("small", b"content", "text/plain", metadata={"name": "नमस्ते"})
    await service.upload("large", LARGE)
    await service.upload("new", b"content", if_absent=True)
    await service.copy("small", "copy")
    assert await service.download("large") == LARGE
    assert [info.key async for info in service.list()] == ["copy", "large", "new", "small"]
    assert (await service.stat("copy")).size == 7
    assert await service.delete("small")
    await service.check()


@about(1)
@pytest.mark.parametrize(("jurisdiction", "part"), [("", ""), ("eu", ".eu"), ("fedramp", ".fedramp")])
async def test_a_jurisdiction_has_its_own_host(make_service: ServiceMaker, plane: str, jurisdiction: str, part: str) -> None:
    """The host is made of account and jurisdiction."""
    service = make_service("", account_id="0a1b", jurisdiction=jurisdiction, data_plane=plane)

    url = await service.get_url("key")

    assert urlsplit(url)[:3] == ("https", f"0a1b{part}.r2.cloudflarestorage.com", "/bucket/key")


@about(2, 3, 4)
async def test_requests_are_signed_and_addressed_as_r2_asks(server: R2Server, service: R2StorageService) -> None:
    """Every signature is SigV4 for `auto`, in headers and in URLs, and every path begins with the bucket."""
    await use_everything(service)
    query = parse_qs(urlsplit(await service.get_url("key")).query)

    for request in server.requests:
        assert request.headers["authorization"].startswith(f"AWS4-HMAC-SHA256 Credential={ACCESS_KEY_ID}/")
        assert "/auto/s3/aws4_request" in request.headers["authorization"]
        assert request.path.split("/")[1] == "bucket"
        assert request.headers["host"] == urlsplit(server.endpoint).netloc
    assert query["X-Amz-Algorithm"] == ["AWS4-HMAC-SHA256"]
    assert query["X-Amz-Credential"][0].endswith("/auto/s3/aws4_request")


@about(5, 6, 7, 9)
async def test_bodies_go_out_plain_over_tls(tls_server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """Over TLS 1.3 no request has chunks, trailers, checksums or `Expect`, and each says its length."""
    await use_everything(make_service(tls_server.endpoint, data_plane=plane))

    for request in tls_server.requests:
        assert not {"expect", "transfer-encoding", "content-encoding", "x-amz-trailer"} & set(request.headers)
        assert not [name for name in request.headers if "checksum" in name]
        assert not request.headers["x-amz-content-sha256"].startswith("STREAMING")
        assert request.method in ("GET", "HEAD", "DELETE") or "content-length" in request.headers


@about(8)
async def test_a_bulk_delete_has_its_digest(server: R2Server, service: R2StorageService) -> None:
    """The client that the service shows sends what R2 asks for."""
    await service.upload("key", b"content")

    answer = service.client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "key"}]})

    assert answer.get("Errors", []) == []
    assert "content-md5" in server.requests[-1].headers
    assert server.objects == {}


@about(9)
async def test_an_upload_does_not_wait_for_100(server: R2Server, service: R2StorageService) -> None:
    """A PUT does not announce itself, after which a client would wait for a second or more."""
    await service.upload("key", b"content")

    assert "expect" not in server.requests[-1].headers


@about(10)
@pytest.mark.parametrize("size", [5 * MIB + 1, 10 * MIB, 11 * MIB])
async def test_parts_are_of_one_length(server: R2Server, service: R2StorageService, size: int) -> None:
    """All parts but the last have one length, of bytes and of a stream."""
    content = LARGE[:size]

    await service.upload("key", content)

    lengths = [len(request.body) for request in server.requests if request.method == "PUT"]
    assert sorted(lengths, reverse=True)[:-1] == [5 * MIB] * (len(lengths) - 1)
    assert server.objects["/bucket/key"].content == content


@about(11)
@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_a_failed_upload_leaves_no_parts(server: R2Server, make_service: ServiceMaker, plane: str, method: str) -> None:
    """What would lie there for a week, and be paid for, is removed at once."""
    server.faults = [Fault(method), *(Fault(method, answer=refusal(500, "InternalError")) for _ in range(20))]
    service = make_service(server.endpoint, data_plane=plane, retry_seconds=0.1)

    with pytest.raises(BackendUnavailable):
        await service.upload("key", LARGE)

    assert (server.uploads, server.objects) == ({}, {})


@about(12)
@pytest.mark.parametrize("content", [LARGE, b"content"], ids=["parts", "whole"])
async def test_an_etag_is_compared(server: R2Server, service: R2StorageService, content: bytes) -> None:
    """A bit that flips on the way up, or down, does not get through."""
    server.faults = [Fault("PUT", flip=True)]
    await service.upload("key", content)
    server.faults = [Fault("GET", flip=True)]

    downloaded = await service.download("key")

    assert downloaded == server.objects["/bucket/key"].content == content


@about(13)
async def test_an_upload_id_is_quoted(server: R2Server, service: R2StorageService) -> None:
    """`/` and `+` in an upload's id survive each request that names it."""
    await service.upload("key", LARGE)

    ids = {request.query["uploadId"] for request in server.requests if "uploadId" in request.query}
    assert ids == {"upload/1+="}


@about(14)
async def test_urls_hold_for_a_week_at_most(make_service: ServiceMaker, plane: str) -> None:
    """A week is signed, a second more is refused before anything is signed; the custom domain is never in one."""
    service = make_service("", account_id="0a1b", public_url="https://files.example.in", data_plane=plane)

    url = urlsplit(await service.get_url("key", 604_800))

    assert parse_qs(url.query)["X-Amz-Expires"] == ["604800"]
    assert url.netloc == "0a1b.r2.cloudflarestorage.com"
    for seconds in (604_801, 0):
        with pytest.raises(InvalidRequest):
            await service.get_url("key", seconds)


@about(15, 16)
async def test_a_client_s_put_is_bound_by_its_type_alone(server: R2Server, service: R2StorageService) -> None:
    """Any bytes of the signed type are taken, another type is refused, and no checksum is in the URL."""
    url = await service.get_upload_url("key", content_type="image/png")

    other = await fetch_with()("PUT", url, headers={"content-type": "text/html"}, body=b"<script>")
    right = await fetch_with()("PUT", url, headers={"content-type": "image/png"}, body=b"\x89PNG")

    assert (other.status, right.status) == (403, 200)
    assert server.objects["/bucket/key"].content == b"\x89PNG"
    assert "checksum" not in url.lower()


@about(17)
@pytest.mark.parametrize("content", [LARGE, b"content"], ids=["parts", "whole"])
async def test_the_store_decides_on_if_absent(server: R2Server, service: R2StorageService, content: bytes) -> None:
    """Whoever comes second, even between the parts, is told so, and nothing of the upload stays."""
    other = Fault("POST" if content is LARGE else "PUT", cut_body_after=0)
    other.then = lambda: server.objects.update({"/bucket/key": server.objects["/bucket/theirs"]})
    await service.upload("theirs", b"theirs")
    server.faults = [Fault("POST"), other] if content is LARGE else [other]

    with pytest.raises(ObjectExists):
        await service.upload("key", content, if_absent=True)

    assert server.objects["/bucket/key"].content == b"theirs"
    assert server.uploads == {}


@about(18)
async def test_a_copy_is_the_store_s_to_make(server: R2Server, service: R2StorageService) -> None:
    """The bytes stay in the store, with their type and metadata; what is copied is the version that was looked at."""
    await service.upload("हिन्दी +%", b"content", "text/plain", metadata={"name": "नमस्ते"})
    server.requests.clear()

    await service.copy("हिन्दी +%", "target")

    assert [request.method for request in server.requests] == ["HEAD", "PUT"]
    assert "x-amz-copy-source-if-match" in server.requests[1].headers
    info = await service.stat("target")
    assert (info.size, info.content_type, info.metadata) == (7, "text/plain", {"name": "नमस्ते"})
    with pytest.raises(ObjectNotFound):
        await service.copy("missing", "target")


@about(19)
async def test_nothing_is_sent_that_r2_has_not(server: R2Server, service: R2StorageService) -> None:
    """No request says anything of ACLs, tags, encryption, locks or owners, and every one of them is understood."""
    await use_everything(service)

    names = {name for request in server.requests for name in request.headers if name.startswith(("x-amz-", "cf-"))}
    allowed = {"x-amz-date", "x-amz-content-sha256", "x-amz-copy-source", "x-amz-metadata-directive"}
    allowed |= {"x-amz-copy-source-if-match", "x-amz-copy-source-range"}
    assert {name for name in names if not name.startswith("x-amz-meta-")} <= allowed


@about(20)
async def test_a_locked_object_is_said(server: R2Server, service: R2StorageService) -> None:
    """What the bucket's policy locks is refused at once, with R2's own word for it."""
    await service.upload("kept", b"content")
    server.locked_prefixes = ("/bucket/kept",)
    server.requests.clear()

    for call in (service.upload("kept", b"other"), service.delete("kept")):
        with pytest.raises(RequestRefused) as raised:
            await call
        assert raised.value.code == "ObjectLockedByBucketPolicy"

    assert server.methods() == ["PUT", "HEAD", "DELETE"]
    assert server.objects["/bucket/kept"].content == b"content"


@about(21)
async def test_a_second_write_within_a_second_succeeds_later(server: R2Server, service: R2StorageService) -> None:
    """Two writes to one key are both stored, the second when R2 takes it."""
    server.write_interval_seconds = 1
    started = time.monotonic()

    await service.upload("key", b"first")
    await service.upload("key", b"second")

    assert time.monotonic() - started >= 1
    assert server.objects["/bucket/key"].content == b"second"


@about(22)
@pytest.mark.parametrize(
    ("code", "status"),
    [("InternalError", 500), ("ServiceUnavailable", 503), ("ClientDisconnect", 400), ("IncompleteBody", 400)],
)
async def test_a_passing_failure_is_tried_again(server: R2Server, service: R2StorageService, code: str, status: int) -> None:
    """What R2 answers in passing costs another attempt, for each kind of request that brings or asks for bytes."""
    server.faults = [Fault(method, answer=refusal(status, code)) for method in ("PUT", "POST", "GET", "DELETE")]

    await use_everything(service)

    assert server.faults == []


WRONG = {
    "id": ({"access_key_id": "f" * 32}, "R2_ACCESS_KEY_ID"),
    "length of the id": ({"access_key_id": "f" * 20}, "R2_ACCESS_KEY_ID"),
    "secret": ({"secret_access_key": "another"}, "R2_SECRET_ACCESS_KEY"),
    "bucket": ({"bucket": "another"}, "R2_BUCKET_NAME"),
    "session token": ({"session_token": "made up"}, "R2_SESSION_TOKEN"),
}


@about(23)
@pytest.mark.parametrize(("values", "variable"), WRONG.values(), ids=WRONG)
async def test_a_wrong_setting_is_named(
    server: R2Server, make_service: ServiceMaker, plane: str, values: dict[str, str], variable: str
) -> None:
    """R2's own refusal becomes an error that names the variable, and shows no secret."""
    service = make_service(server.endpoint, data_plane=plane, **values)
    raised: list[ConfigurationError] = []

    for call in (service.check, lambda: service.upload("key", b"content"), lambda: service.download("key")):
        with pytest.raises(ConfigurationError) as caught:
            await call()
        raised.append(caught.value)

    assert [fault.variable for error in raised for fault in error.faults] == [variable] * 3
    assert not [error for error in raised if SECRET in str(error)]


@about(23)
async def test_a_token_for_objects_is_enough(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """With a token that may neither list buckets nor objects everything but `list` works, `check` too."""
    server.add(Token("f" * 32, SECRET, may_list=False))
    service = make_service(server.endpoint, data_plane=plane, access_key_id="f" * 32)

    await service.check()
    await service.upload("key", LARGE)

    assert await service.download("key") == LARGE
    assert await service.delete("key")
    assert {request.path for request in server.requests} <= {"/bucket", "/bucket/key", *_check_paths(server)}


def _check_paths(server: R2Server) -> set[str]:
    return {request.path for request in server.requests if "check" in request.path}


@about(24)
async def test_temporary_credentials_bring_their_token(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """The session token is in every request and every URL."""
    server.add(Token("f" * 32, SECRET, session_token="brought along"))
    service = make_service(server.endpoint, data_plane=plane, access_key_id="f" * 32, session_token="brought along")

    await use_everything(service)
    answer = await fetch_with()("GET", await service.get_url("large"))

    assert answer.status == 200


@about(25)
async def test_spellings_of_a_key_are_one(server: R2Server, service: R2StorageService) -> None:
    """A decomposed key is sent composed, so that listings show what other backends show."""
    await service.upload("e\u0301", b"content")

    assert await service.download("\u00e9") == b"content"
    assert [info.key async for info in service.list()] == ["\u00e9"]
    assert [stored.name for stored in server.objects.values()] == ["/bucket/\u00e9"]


@about(26)
@pytest.mark.parametrize("key", ["a/../b", "./a", "a/.", ".."])
async def test_a_dot_segment_is_refused(server: R2Server, service: R2StorageService, key: str) -> None:
    """It would be another object to whoever follows a URL: nothing is asked."""
    for call in (service.upload(key, b""), service.download(key), service.get_url(key), service.delete(key)):
        with pytest.raises(InvalidKey):
            await call

    assert server.requests == []


@about(27)
@pytest.mark.parametrize("key", ODD_KEYS)
async def test_a_key_is_quoted_once(server: R2Server, service: R2StorageService, key: str) -> None:
    """Whatever is in it, it reaches the object of that name, by every way there is."""
    await service.upload(key, b"content")
    await service.copy(key, f"copy/{key}")
    await service.upload(f"parts/{key}", LARGE)

    fetched = await fetch_with()("GET", await service.get_url(key))

    assert fetched.body == await service.download(f"copy/{key}") == b"content"
    assert set(server.objects) == {f"/bucket/{name}{key}" for name in ("", "copy/", "parts/")}
    assert {info.key async for info in service.list()} == {key, f"copy/{key}", f"parts/{key}"}
    assert await service.delete(key)


@about(28)
@pytest.mark.parametrize("value", ["=?utf-8?B?aGk=?=", "a =?utf-8?q?b?= c", "=?", "नमस्ते", "", " blanks ", "a\nb", "100%"])
async def test_metadata_come_back_as_they_were(service: R2StorageService, value: str) -> None:
    """No value is taken for an encoded word that is none, and any text survives."""
    await service.upload("key", b"", metadata={"name": value})

    assert (await service.stat("key")).metadata == {"name": value}


@about(28)
async def test_metadata_that_the_store_finds_too_large_are_the_caller_s(server: R2Server, service: R2StorageService) -> None:
    """R2's own limit, where it is met, is the caller's to keep."""
    server.faults = [Fault("PUT", answer=refusal(400, "MetadataTooLarge"))]

    with pytest.raises(InvalidRequest, match="MetadataTooLarge"):
        await service.upload("key", b"")


@about(29)
def test_no_request_is_larger_than_r2_takes() -> None:
    """The largest part that can be set is below what one PUT may bring."""
    assert make_settings("http://localhost", part_size_mib=1024).part_size_bytes < 5 * 1024**3 - 5 * MIB
    with pytest.raises(InvalidSettings):
        make_settings("http://localhost", part_size_mib=1025)


@about(31)
async def test_no_compressed_answer_is_asked_for(server: R2Server, service: R2StorageService) -> None:
    """A text that compresses well comes as it is, with its length, whole and in part."""
    content = b"text " * 10_000
    await service.upload("key", content, "text/plain")

    assert await service.download("key") == content
    assert (await service.stat("key")).size == len(content)
    assert b"".join([chunk async for chunk in service.stream("key", start=5, end=10)]) == b"text "
    assert {request.headers.get("accept-encoding", "identity") for request in server.requests} == {"identity"}


@about(32)
async def test_an_error_without_a_message_is_understood(server: R2Server, service: R2StorageService) -> None:
    """Codes are enough."""
    server.says_why = False
    await service.upload("key", b"content")

    with pytest.raises(ObjectNotFound):
        await service.download("missing")
    with pytest.raises(ObjectExists):
        await service.upload("key", b"content", if_absent=True)


@about(32)
@pytest.mark.parametrize("content", [LARGE, b"<html>"], ids=["parts", "whole"])
async def test_a_type_is_always_said(service: R2StorageService, content: bytes) -> None:
    """What looks like a page is none unless its owner says so."""
    await service.upload("key", content)

    assert (await service.stat("key")).content_type == "application/octet-stream"


@about(35)
async def test_a_part_that_broke_off_is_sent_again(server: R2Server, service: R2StorageService) -> None:
    """A part whose answer was lost, and whose repetition broke off, is sent until it is there."""
    server.faults = [Fault("PUT", cut_answer_after=-1), Fault("PUT", cut_body_after=MIB), Fault("PUT", cut_body_after=MIB)]

    await service.upload("key", LARGE)

    assert server.objects["/bucket/key"].content == LARGE


@about(36)
async def test_a_bucket_is_never_made(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """A bucket that is not there is a setting that is wrong, also where the token might make one."""
    server.add(Token("f" * 32, SECRET, is_admin=True))
    service = make_service(server.endpoint, bucket="another", data_plane=plane, access_key_id="f" * 32)

    with pytest.raises(ConfigurationError, match="R2_BUCKET_NAME"):
        await service.upload("key", b"content")

    assert server.buckets == {"bucket"}
