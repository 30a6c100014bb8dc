"""The R2 rule server knows who asks: SigV4 in headers and in URLs, against botocore's signer."""

from __future__ import annotations

from datetime import timedelta
from urllib.parse import quote

import pytest

from r2 import R2Server, Token
from raw import RawClient

OTHER_ID = "f" * 32
KEYS = [
    "plain",
    "two words",
    "a+b&c=d?e#f",
    "100%25",
    "quotes'\"(!*)",
    "~tilde@$;:,",
    "हिन्दी/🙏🏽",
    "a/../b",
    "a//b",
    "e\u0301",
]


@pytest.fixture
def client(server: R2Server) -> RawClient:
    """Whoever has the token that the server knows."""
    return RawClient(server.endpoint)


@pytest.mark.parametrize("key", KEYS)
def test_any_key_is_verified_as_it_is_quoted(client: RawClient, key: str) -> None:
    """What is signed in headers, and what is signed in the query, reaches the same object."""
    path = f"/bucket/{quote(key)}"

    stored = client.ask("PUT", path, b"content", Content_Type="text/plain")
    answers = [client.ask("GET", path), client.send("GET", client.presign("GET", path))]

    assert stored.status == 200
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"content")] * 2


@pytest.mark.parametrize("region", ["auto", "us-east-1", "", "weur", "apac"])
def test_regions_of_r2_s_are_taken(server: R2Server, region: str) -> None:
    """R2's own regions, and the two aliases of auto, are as good as another."""
    assert RawClient(server.endpoint, region=region).ask("PUT", "/bucket/key", b"content").status == 200


@pytest.mark.parametrize(
    ("client", "refusal"),
    [
        (RawClient("", region="ap-south-1"), (400, "InvalidRegionName")),
        (RawClient("", secret="another"), (403, "SignatureDoesNotMatch")),
        (RawClient("", access_key_id=OTHER_ID), (401, "Unauthorized")),
        (RawClient("", access_key_id="short"), (400, "InvalidArgument")),
        (RawClient("", session_token="made up"), (400, "InvalidToken")),
    ],
    ids=["region", "secret", "id", "length of the id", "session token"],
)
def test_a_stranger_is_refused(server: R2Server, client: RawClient, refusal: tuple[int, str]) -> None:
    """Each wrong credential has its own refusal, in headers and in the query."""
    stranger = RawClient(server.endpoint, client.access_key_id, client.secret, client.session_token, client.region)

    answers = [stranger.ask("GET", "/bucket/key"), stranger.send("GET", stranger.presign("GET", "/bucket/key"))]

    assert [answer.refusal for answer in answers] == [refusal] * 2


def test_nobody_is_refused(client: RawClient) -> None:
    """A request without a signature, and one with the older kind, says which it was."""
    url = "/bucket/key?AWSAccessKeyId=0&Signature=0&Expires=9999999999"

    answers = [
        client.send("GET", "/bucket/key"),
        client.send("GET", "/bucket/key", Authorization="AWS 0:0"),
        client.send("GET", url),
    ]

    assert [answer.refusal for answer in answers] == [(400, "InvalidArgument"), (401, "Unauthorized"), (401, "Unauthorized")]
    assert b"SigV4" in answers[1].body


@pytest.mark.parametrize("minutes", [16, -16])
def test_a_wrong_clock_is_refused(server: R2Server, client: RawClient, minutes: int) -> None:
    """More than a quarter of an hour off, before or behind, is not in time."""
    server.clock_offset = timedelta(minutes=minutes)

    assert client.ask("GET", "/bucket/key").refusal == (403, "RequestTimeTooSkewed")


def test_a_presigned_url_has_an_end(server: R2Server, client: RawClient) -> None:
    """After its seconds it is refused; more than a week, or none at all, is refused at once."""
    client.ask("PUT", "/bucket/key", b"content")
    url = client.presign("GET", "/bucket/key", expires_in=604_800)
    too_long, none = (client.presign("GET", "/bucket/key", expires_in=seconds) for seconds in (604_801, 0))

    before = client.send("GET", url)
    server.clock_offset = timedelta(days=7, seconds=1)
    after = client.send("GET", url)

    assert (before.status, after.refusal) == (200, (400, "ExpiredRequest"))
    assert {client.send("GET", path).code for path in (too_long, none)} == {"AuthorizationQueryParametersError"}


def test_what_was_not_signed_is_refused(client: RawClient) -> None:
    """Another method, path, query, header or body than was signed does not pass."""
    url = client.presign("PUT", "/bucket/key", Content_Type="text/plain")

    answers = [
        client.send("GET", url),
        client.send("PUT", url.replace("/key", "/other"), Content_Type="text/plain"),
        client.send("PUT", f"{url}&response-content-type=text%2Fhtml", Content_Type="text/plain"),
        client.send("PUT", url, Content_Type="text/html"),
    ]
    signed = client.send("PUT", url, b"anything", Content_Type="text/plain")

    assert [answer.code for answer in answers] == ["SignatureDoesNotMatch"] * 4
    assert signed.status == 200


def test_a_body_is_the_one_that_was_signed(client: RawClient) -> None:
    """A body with another digest is refused; `UNSIGNED-PAYLOAD` lets any pass, and what comes in chunks is not implemented."""
    digests = ["0" * 64, "UNSIGNED-PAYLOAD", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "STREAMING-UNSIGNED-PAYLOAD-TRAILER"]

    answers = [
        client.send("PUT", "/bucket/key", b"content", **client.sign("PUT", "/bucket/key", b"content", digest=digest))
        for digest in digests
    ]

    assert [answer.status for answer in answers] == [400, 200, 501, 501]
    assert answers[0].code == "XAmzContentSHA256Mismatch"


def test_only_what_may_be_signed_in_a_url_is(client: RawClient) -> None:
    """Of the methods that presigned URLs are for, POST is none."""
    assert client.send("POST", client.presign("POST", "/bucket/key?uploads")).refusal == (501, "NotImplemented")


def test_an_unsigned_header_of_the_protocol_is_refused(client: RawClient) -> None:
    """A header that changes what is done must be under the signature."""
    signed = client.sign("PUT", "/bucket/key")

    answer = client.send("PUT", "/bucket/key", **signed, x_amz_meta_name="value")

    assert answer.refusal == (403, "AccessDenied")


def test_temporary_credentials_need_their_token(server: R2Server) -> None:
    """Credentials that came with a session token hold with it alone, in headers and in a URL."""
    server.add(Token(OTHER_ID, "secret", session_token="brought along"))
    whole = RawClient(server.endpoint, OTHER_ID, "secret", "brought along")
    half = RawClient(server.endpoint, OTHER_ID, "secret")

    stored = whole.ask("PUT", "/bucket/key", b"content")
    fetched = whole.send("GET", whole.presign("GET", "/bucket/key"))

    assert (stored.status, fetched.status) == (200, 200)
    assert half.ask("GET", "/bucket/key").refusal == (400, "InvalidToken")


def test_a_token_has_its_rights(server: R2Server) -> None:
    """One for objects sees no buckets; one that may not list, not write, or not leave its prefix, does not."""
    server.add(Token(OTHER_ID, "secret", may_list=False, may_write=False, prefix="own/"))
    server.add(Token("e" * 32, "secret", is_admin=True))
    plain, bound = RawClient(server.endpoint), RawClient(server.endpoint, OTHER_ID, "secret")
    admin = RawClient(server.endpoint, "e" * 32, "secret")

    refused = [
        plain.ask("GET", "/"),
        plain.ask("PUT", "/other"),
        bound.ask("GET", "/bucket?list-type=2&prefix=own%2F"),
        bound.ask("PUT", "/bucket/own/key"),
        bound.ask("GET", "/bucket/key"),
    ]

    assert [answer.refusal for answer in refused] == [(403, "AccessDenied")] * 5
    assert bound.ask("GET", "/bucket/own/key").code == "NoSuchKey"
    assert admin.ask("GET", "/").find_all("Name") == ["bucket"]
    assert plain.ask("GET", "/other/key").code == "NoSuchBucket"
    assert admin.ask("PUT", "/other/key", b"", cf_create_bucket_if_missing="true").status == 200
