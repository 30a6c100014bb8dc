"""Signatures of the lean client are botocore's, byte for byte."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import pytest
from botocore.awsrequest import AWSResponse
from hypothesis import given, settings
from hypothesis import strategies as st

from indiaai_storage_r2 import R2Settings, R2StorageService
from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.operations import read_operation
from indiaai_storage_r2.lean.signatures import Signer
from making import SECRET, make_settings

NOW = datetime(2026, 2, 28, 23, 59, 59, 750_000, tzinfo=UTC)
ENDPOINTS = ["https://account.r2.cloudflarestorage.com", "http://localhost:9000", "https://store.example.in:443", "http://[::1]:80",
             "https://Store.Example.in:8443/behind/a/path"]  # fmt: skip
TOKENS = ["", "token/with+odd==signs and blanks"]
LETTERS = "abzAZ019-_.~ /!\"#$%&'()*+,:;<=>?@[]^`{|}éñहिन्दी中🙏\u200d\u00a0"

keys = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=60)
header_values = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=40)


def make_settings_for(endpoint: str, token: str = "") -> R2Settings:
    """Return settings of which both clients are made."""
    return make_settings(endpoint, session_token=token)


def make_lean(settings: R2Settings, *, now: datetime = NOW) -> LeanClient:
    """Return a lean client whose clock stands still."""
    return LeanClient(
        settings.endpoint,
        access_key_id=settings.access_key_id,
        secret_access_key=SECRET,
        session_token=settings.session_token.get_secret_value(),
        clock=now.timestamp,
    )


@contextmanager
def frozen(now: datetime = NOW) -> Iterator[None]:
    """Let botocore's clock stand still."""
    with mock.patch("botocore.auth.get_current_datetime", return_value=now.replace(tzinfo=None)):
        yield


def make_key(numbers: random.Random) -> str:
    """Draw a key of letters that are easily encoded in the wrong way."""
    return "".join(numbers.choice(LETTERS) for _ in range(numbers.randint(1, 40)))


def make_presigned(numbers: random.Random) -> tuple[str, dict[str, Any]]:
    """Draw an operation and its parameters."""
    target: dict[str, Any] = {"Bucket": "bucket", "Key": make_key(numbers)}
    if numbers.random() < 0.4:
        return "put_object", {
            **target,
            "ContentType": numbers.choice(["text/plain", "text/html; charset=utf-8", 'a/b;c="d  e"']),
        }
    if numbers.random() < 0.3:
        target["ResponseCacheControl"] = numbers.choice(["no-store", "max-age=60, public"])
    if numbers.random() < 0.3:
        target["ResponseContentDisposition"] = f"attachment; filename*=UTF-8''{make_key(numbers)}"
    return "get_object", target


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_a_thousand_urls_are_botocore_s(endpoint: str, token: str) -> None:
    """Under one clock, each of 10 × 1,000 signed URLs of drawn keys is the one that botocore signs."""
    values = make_settings_for(endpoint, token)
    theirs, ours = R2StorageService(values).client, make_lean(values)
    numbers = random.Random(f"{endpoint}{token}")  # noqa: S311 - drawn again in each run

    with frozen():
        for _ in range(1000):
            operation, parameters = make_presigned(numbers)
            seconds = numbers.randint(1, 604_800)
            expected = theirs.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)
            assert ours.generate_presigned_url(operation, parameters, ExpiresIn=seconds) == expected

    theirs.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Any, LeanClient]]:
    """Two clients for one store: botocore's and ours."""
    values = make_settings_for(ENDPOINTS[0])
    theirs = R2StorageService(values).client
    yield theirs, make_lean(values)
    theirs.close()


@given(key=keys, disposition=header_values, cache=st.none() | header_values)
def test_any_url_is_botocore_s(pair: tuple[Any, LeanClient], key: str, disposition: str, cache: str | None) -> None:
    """Whatever the key and what the answer's headers are to be, the signed URL is botocore's."""
    theirs, ours = pair
    parameters = {"Bucket": "bucket", "Key": key, "ResponseContentDisposition": disposition}
    parameters |= {} if cache is None else {"ResponseCacheControl": cache}

    with frozen():
        expected = theirs.generate_presigned_url("get_object", Params=parameters, ExpiresIn=60)

    assert ours.generate_presigned_url("get_object", parameters, ExpiresIn=60) == expected


class Captured(Exception):
    """What botocore was about to send."""

    def __init__(self, request: Any) -> None:
        super().__init__(request.url)
        self.request = request


def capture(client: Any, operation: str, parameters: dict[str, Any]) -> Any:
    """Return the request that botocore sends for a call."""

    def keep(request: Any, **_: object) -> AWSResponse:
        raise Captured(request)

    client.meta.events.register_first("before-send.s3", keep)
    try:
        with frozen():
            getattr(client, operation)(**parameters)
    except Captured as captured:
        return captured.request
    finally:
        client.meta.events.unregister("before-send.s3", keep)
    raise AssertionError("botocore sent nothing")


def read_lean(client: LeanClient, operation: str, parameters: dict[str, Any]) -> tuple[str, str, dict[str, str], bytes]:
    """Return method, target, headers and body of what the lean client sends for a call."""
    asked = read_operation(operation, parameters, base=client._base)
    first, *lines = client._head(asked, len(asked.body)).decode().split("\r\n")
    method, target, _ = first.split(" ")
    body = asked.body if isinstance(asked.body, bytes) else b""
    return method, target, dict(line.split(":", 1) for line in lines if line), body


def compare(theirs: Any, ours: LeanClient, operation: str, parameters: dict[str, Any]) -> None:
    """Require that both clients send the same request."""
    expected = capture(theirs, operation, parameters)
    method, target, headers, body = read_lean(ours, operation, parameters)

    assert method == expected.method
    assert body == (expected.body.read() if hasattr(expected.body, "read") else expected.body or b"")
    assert expected.url.endswith(target)
    own = {"host", "user-agent", "amz-sdk-invocation-id", "amz-sdk-request"}
    sent = {name.lower(): value.decode() if isinstance(value, bytes) else value for name, value in expected.headers.items()}
    assert {name: value.strip() for name, value in headers.items() if name not in own} == {
        name: value for name, value in ({"accept-encoding": "identity"} | sent).items() if name not in own
    }


MD5 = {"ContentMD5": "XUFAKrxLKna5cZ2REBfFkg=="}
TARGET = {"Bucket": "bucket", "Key": "a folder/हिन्दी +%~!'()*.txt"}
UPLOAD = {**TARGET, "UploadId": "odd/id+==&"}
PARTS = [{"PartNumber": number, "ETag": f'"{number}&<>\'é"'} for number in (1, 2, 10_000)]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("get_object", TARGET),
    ("get_object", {**TARGET, "Range": "bytes=5-", "IfMatch": '"5d41402abc4b2a76b9719d911017c592"'}),
    ("head_object", TARGET),
    ("delete_object", TARGET),
    ("put_object", {**TARGET, **MD5, "Body": b"hello", "ContentType": "text/plain; charset=utf-8", "IfNoneMatch": "*"}),
    ("put_object", {**TARGET, **MD5, "Body": b"hello", "ContentType": "a/b", "Metadata": {"name": "two  blanks", "B": "c"}}),
    ("put_object", {**TARGET, **MD5, "Body": b"hello", "CacheControl": "no-store", "ContentDisposition": "attachment"}),
    ("put_object", {**TARGET, "ContentMD5": "1B2M2Y8AsgTpgAmY7PhCfg==", "Body": b"", "ContentType": "a/b"}),
    ("upload_part", {**TARGET, **MD5, "Body": b"hello", "UploadId": "odd/id+==&", "PartNumber": 10_000}),
    ("create_multipart_upload", {**TARGET, "ContentType": "a/b", "Metadata": {"name": "two  blanks", "B": "c"}}),
    ("create_multipart_upload", {**TARGET, "CacheControl": "no-store", "ContentEncoding": "br", "ContentLanguage": "hi"}),
    ("complete_multipart_upload", {**UPLOAD, "MultipartUpload": {"Parts": PARTS}}),
    ("complete_multipart_upload", {**UPLOAD, "MultipartUpload": {"Parts": PARTS[:1]}, "IfNoneMatch": "*"}),
    ("abort_multipart_upload", UPLOAD),
]  # fmt: skip


@pytest.mark.parametrize("token", TOKENS)
@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(("operation", "parameters"), CALLS)
def test_a_request_is_botocore_s(operation: str, parameters: dict[str, Any], endpoint: str, token: str) -> None:
    """Method, address, headers, body and signature of each operation are what botocore sends for the same call."""
    values = make_settings_for(endpoint, token)
    theirs = R2StorageService(values).client

    compare(theirs, make_lean(values), operation, parameters)

    theirs.close()


@given(key=keys, value=header_values, disposition=header_values)
@settings(max_examples=60)
def test_any_request_is_botocore_s(pair: tuple[Any, LeanClient], key: str, value: str, disposition: str) -> None:
    """Whatever the key and the headers, the request is botocore's, signature included."""
    stripped = {"Metadata": {"name": value.strip() or "x"}, "ContentDisposition": disposition.strip() or "x"}

    compare(*pair, "put_object", {"Bucket": "bucket", "Key": key, "Body": b"hello", "ContentType": "a/b", **stripped, **MD5})


def test_each_second_and_each_day_has_its_signature() -> None:
    """The clock is read for each signature: the time goes on, and the day's key with it."""
    values = make_settings_for(ENDPOINTS[0])
    theirs = R2StorageService(values).client
    moments = [NOW, NOW.replace(hour=0), datetime(2026, 3, 1, 0, 0, 0, tzinfo=UTC), NOW]
    clock = iter(moment.timestamp() for moment in moments)
    ours = LeanClient(values.endpoint, access_key_id=values.access_key_id, secret_access_key=SECRET, clock=lambda: next(clock))

    for moment in moments:
        with frozen(moment):
            expected = theirs.generate_presigned_url("get_object", Params=TARGET, ExpiresIn=1)
        assert ours.generate_presigned_url("get_object", TARGET, ExpiresIn=1) == expected

    theirs.close()


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r", "\0", "\x1f", "\x7f", "\x85", "\u2028"])
@pytest.mark.parametrize("name", ["ContentType", "ContentDisposition", "CacheControl", "IfMatch", "Metadata"])
def test_no_header_ends_its_line(name: str, end: str) -> None:
    """A value that would begin another header, or a request, is refused before anything is sent."""
    value: Any = f"text/plain{end}x-injected: 1"
    parameters = {**TARGET, name: {"name": value} if name == "Metadata" else value, "Body": b"hello"}

    with pytest.raises(ValueError, match="holds what no header may"):
        make_lean(make_settings_for("http://localhost:9")).put_object(**parameters)


@pytest.mark.parametrize("name", ["a: b\r\nx", "a b", "", "ä", "a\n"])
def test_no_name_ends_its_line(name: str) -> None:
    """A name of metadata that no header can have is refused before anything is sent."""
    with pytest.raises(ValueError, match="holds what no header may"):
        make_lean(make_settings_for("http://localhost:9")).put_object(**TARGET, Metadata={name: "x", "é": "y"}, Body=b"")


def test_the_secret_is_in_no_text() -> None:
    """Neither the signer nor its errors show the keys."""
    signer = Signer("localhost", access_key_id="id", secret_access_key=SECRET, session_token=SECRET)

    with pytest.raises(ValueError, match="no header") as failure:
        signer.sign_headers("GET", "/", query="", headers={"a": "\n"}, payload="")

    assert SECRET not in f"{signer!r}{failure.value!r}{make_lean(make_settings_for(ENDPOINTS[0], SECRET))!r}"


def test_a_parameter_that_is_not_known_is_refused() -> None:
    """What boto3 would take and the lean client does not ends in an error, not in a request without it."""
    with pytest.raises(TypeError, match="takes no StorageClass"):
        make_lean(make_settings_for("http://localhost:9")).put_object(**TARGET, Body=b"", StorageClass="STANDARD")
