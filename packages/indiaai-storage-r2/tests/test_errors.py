"""What the store's refusals become."""

from __future__ import annotations

import pickle
import time
import traceback
from email.utils import formatdate

import pytest

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    IndiaAIError,
    InvalidRequest,
    ObjectNotFound,
    Platform,
    StorageError,
)
from indiaai_storage_r2 import R2StorageService, RequestRefused
from making import SECRET, ServiceMaker, make_settings
from r2 import Answer, Fault, R2Server, StoredObject, refusal

pytestmark = pytest.mark.anyio

SETTINGS = [
    (refusal(404, "NoSuchBucket"), "R2_BUCKET_NAME"),
    (refusal(401, "Unauthorized"), "R2_ACCESS_KEY_ID"),
    (refusal(403, "InvalidAccessKeyId", None), "R2_ACCESS_KEY_ID"),
    (refusal(400, "InvalidArgument", "Credential access key has length 20, should be 32"), "R2_ACCESS_KEY_ID"),
    (refusal(403, "SignatureDoesNotMatch"), "R2_SECRET_ACCESS_KEY"),
    (refusal(403, "AccessDenied"), "R2_ACCESS_KEY_ID"),
    (refusal(400, "ExpiredToken"), "R2_SESSION_TOKEN"),
    (refusal(403, "RequestTimeTooSkewed"), "the clock of this machine"),
    (refusal(400, "ExpiredRequest"), "the clock of this machine"),
    (refusal(403, "NotEntitled"), "R2_ACCOUNT_ID"),
    (Answer(403, {}, b"<html>Forbidden</html>"), "R2_ACCESS_KEY_ID"),
]


@pytest.mark.parametrize(("answer", "variable"), SETTINGS, ids=[f"{answer.body[:45]!r}" for answer, _ in SETTINGS])
async def test_a_refusal_names_the_variable(server: R2Server, service: R2StorageService, answer: Answer, variable: str) -> None:
    """A refusal that no retry can mend is a configuration error with the variable at fault, from a call and from `check`."""
    server.faults = [Fault("GET", answer=answer), Fault("GET", answer=answer), Fault("HEAD", answer=answer)]

    with pytest.raises(ConfigurationError) as of_a_call:
        await service.download("key")
    with pytest.raises(ConfigurationError) as of_check:
        await service.check()

    assert [fault.variable for fault in of_a_call.value.faults] == [variable]
    assert [fault.variable for fault in of_check.value.faults] == [variable]
    assert of_a_call.value.__cause__ is not None


@pytest.mark.parametrize(("answer", "variable"), SETTINGS, ids=[f"{answer.body[:45]!r}" for answer, _ in SETTINGS])
async def test_a_refusal_without_words_is_explained(
    server: R2Server, make_service: ServiceMaker, answer: Answer, *, variable: str, plane: str
) -> None:
    """An answer to HEAD has no body: where one is refused, a GET of the same object tells why, and names the same variable."""
    service = make_service(server.endpoint, data_plane=plane)
    for call in (service.exists("key"), service.delete("key"), service.copy("key", "other")):
        server.faults = [Fault(method, answer=answer) for method in ("HEAD", "GET", "GET")]
        with pytest.raises(ConfigurationError) as raised:
            await call
        assert [fault.variable for fault in raised.value.faults] == [variable]


async def test_a_refusal_that_nothing_explains_is_one(server: R2Server, service: R2StorageService) -> None:
    """Where HEAD is refused and GET is not, or fails, the refusal of HEAD is what is told."""
    await service.upload("key", b"content")
    server.faults = [Fault("HEAD", answer=refusal(400, "Odd")), Fault("HEAD", answer=refusal(400, "Odd"))]
    server.faults += [Fault("GET"), *(Fault("GET", answer=refusal(500, "InternalError")) for _ in range(99))]

    for _ in range(2):
        with pytest.raises(RequestRefused, match="HeadObject") as raised:
            await service.stat("key")
        assert raised.value.status == 400


@pytest.mark.parametrize("status", [301, 302, 307, 308])
async def test_a_redirect_is_a_setting_s_fault(
    server: R2Server, make_service: ServiceMaker, *, status: int, plane: str
) -> None:
    """Where the endpoint sends one elsewhere, nobody goes there: the error says where to, without what was signed."""
    service = make_service(server.endpoint, data_plane=plane)
    answer = Answer(status, {"Location": "https://other.example:8443/bucket/key?X-Amz-Signature=0123"})
    calls = (
        service.upload("key", b"content"),
        service.upload("key", bytes(6 * 1024 * 1024)),
        service.download("key"),
        service.stat("key"),
        service.copy("key", "other"),
        anext(aiter(service.list())),
        service.check(),
    )

    for call in calls:
        server.faults = [Fault(method, answer=answer) for method in ("HEAD", "GET", "GET", "PUT", "POST", "DELETE")]
        with pytest.raises(ConfigurationError, match=r"https://other\.example:8443[^/]") as raised:
            await call
        assert [fault.variable for fault in raised.value.faults] == ["R2_ENDPOINT_URL"]


async def test_a_refusal_names_the_variable_of_its_instance(
    server: R2Server, monkeypatch: pytest.MonkeyPatch, make_service: ServiceMaker
) -> None:
    """A service that reads `ARCHIVE_R2_…` is told of those, by the store's refusals too."""
    own = make_settings(server.endpoint)
    values = {name: getattr(own, name) for name in ("endpoint_url", "bucket_name", "access_key_id")}
    variables = {f"R2_{name}".upper(): value for name, value in values.items()} | {"R2_SECRET_ACCESS_KEY": SECRET}
    platform = Platform({"STORAGE_TYPE": "r2", "ARCHIVE_R2_BUCKET_NAME": "archive", **variables})
    server.faults = [Fault("GET", answer=refusal(404, "NoSuchBucket"))]
    archive = platform.get_service("storage", "archive")

    with pytest.raises(ConfigurationError, match="ARCHIVE_R2_JURISDICTION") as raised:
        await archive.download("key")
    await archive.aclose()

    assert [fault.variable for fault in raised.value.faults] == ["ARCHIVE_R2_BUCKET_NAME"]


async def test_a_missing_bucket_is_no_missing_object(server: R2Server, make_service: ServiceMaker) -> None:
    """An answer to HEAD has no body: before it is believed for the first time, a GET tells whether there is a bucket."""
    wrong, right = make_service(server.endpoint, bucket="no-such-bucket"), make_service(server.endpoint)

    for call in (wrong.stat("key"), wrong.exists("key"), wrong.delete("key"), wrong.copy("key", "other")):
        with pytest.raises(ConfigurationError, match="R2_BUCKET_NAME"):
            await call
    server.requests.clear()
    for _ in range(3):
        assert not await right.exists("key")

    assert server.methods() == ["HEAD", "GET", "HEAD", "HEAD"]


async def test_an_object_is_missing_also_where_nothing_more_is_told(server: R2Server, service: R2StorageService) -> None:
    """A store that cannot be asked for its bucket now leaves the answer what it was, and is asked again."""
    server.faults = [Fault("GET", answer=refusal(400, "SomethingElse")), Fault("GET", answer=refusal(404, "NoSuchKey"))]

    assert not await service.exists("key")
    assert not await service.exists("key")
    assert not await service.exists("key")

    assert server.methods() == ["HEAD", "GET", "HEAD", "GET", "HEAD"]


@pytest.mark.parametrize(
    ("said", "least", "most"),
    [("7", 7, 7), ("in a minute", 50, 60), ("Mon, 01 Jan 2024 00:00:00 GMT", 0, 0), ("soon", 1, 1)],
)
async def test_the_wait_that_the_store_asks_for_is_told(
    server: R2Server, make_service: ServiceMaker, *, said: str, least: float, most: float
) -> None:
    """`Retry-After` is seconds or a date; a 429 without either means the second that R2 counts writes by."""
    if said == "in a minute":
        said = formatdate(time.time() + 60, usegmt=True)
    server.faults = [Fault("GET", answer=refusal(429, "TooManyRequests", **{"Retry-After": said}))]

    with pytest.raises(BackendUnavailable) as raised:
        await make_service(server.endpoint, retry_seconds=0).download("key")

    assert raised.value.retry_after is not None
    assert least <= raised.value.retry_after <= most


async def test_an_object_that_is_not_there_is_named(service: R2StorageService) -> None:
    """Each call for an object that is not there says which, in its normal form."""
    for call in (service.download("e\u0301"), service.stat("e\u0301"), service.copy("e\u0301", "target")):
        with pytest.raises(ObjectNotFound) as raised:
            await call
        assert raised.value.key == "\u00e9"

    assert not await service.delete("missing")
    assert not await service.exists("missing")


async def test_any_other_refusal_keeps_its_code(server: R2Server, service: R2StorageService) -> None:
    """What has no error of its own is a StorageError with the store's code, the status and the request's name."""
    server.faults = [Fault("DELETE", answer=refusal(403, "ObjectLockedByBucketPolicy", "It is locked"))]
    await service.upload("key", b"content")

    with pytest.raises(RequestRefused, match=r"DeleteObject for 'key'.*It is locked") as raised:
        await service.delete("key")

    assert isinstance(raised.value, StorageError)
    assert (raised.value.code, raised.value.status) == ("ObjectLockedByBucketPolicy", 403)
    assert pickle.loads(pickle.dumps(raised.value)).code == "ObjectLockedByBucketPolicy"  # noqa: S301 - made here


async def test_what_is_too_large_is_an_invalid_request(server: R2Server, service: R2StorageService) -> None:
    """Limits of the store's own are the caller's to keep."""
    server.faults = [Fault("PUT", answer=refusal(400, "MetadataTooLarge"))]

    with pytest.raises(InvalidRequest, match="larger"):
        await service.upload("key", b"content")


async def test_check_needs_no_right_to_list(server: R2Server, service: R2StorageService) -> None:
    """One GET of an object that is not there is enough; where that is forbidden, being shown the bucket is."""
    await service.check()
    asked_first = server.methods()
    server.objects["/bucket"] = StoredObject(b"", {})  # what HEAD of the bucket finds
    server.faults = [Fault("GET", answer=refusal(403, "AccessDenied"))]

    await service.check()

    assert asked_first == ["GET"]
    assert server.methods() == ["GET", "GET", "HEAD"]


async def test_check_says_soon_that_the_store_is_down(server: R2Server, service: R2StorageService) -> None:
    """A store that fails is reported within the time a health check has, after trying again."""
    server.faults = [Fault("GET", answer=refusal(503, "ServiceUnavailable")) for _ in range(100)]

    with pytest.raises(BackendUnavailable):
        await service.check()

    assert len(server.requests) > 1


async def test_check_takes_an_unknown_refusal_for_the_settings(server: R2Server, service: R2StorageService) -> None:
    """Whatever else a store refuses at the first question, it is not what the settings say it is."""
    server.faults = [Fault("GET", answer=refusal(501, "NotImplemented"))]

    with pytest.raises(ConfigurationError, match="NotImplemented"):
        await service.check()


async def test_a_certificate_that_is_not_trusted_is_said(
    tls_server: R2Server, monkeypatch: pytest.MonkeyPatch, make_service: ServiceMaker
) -> None:
    """A store behind another certificate is a configuration error at once, and not tried again for long."""
    monkeypatch.delenv("AWS_CA_BUNDLE")

    with pytest.raises(ConfigurationError, match="AWS_CA_BUNDLE"):
        await make_service(tls_server.endpoint).download("key")


async def test_no_error_shows_the_secret(server: R2Server, make_service: ServiceMaker) -> None:
    """Neither a message nor a traceback nor the repr of anything shows the secret key."""
    service = make_service(server.endpoint, retry_seconds=0, session_token=f"{SECRET}-token")
    shown = [repr(service.settings), repr(service), repr(service.client), str(make_settings(server.endpoint))]

    for answer, _ in SETTINGS:
        server.faults = [Fault("GET", answer=answer)]
        with pytest.raises(IndiaAIError) as raised:
            await service.download("key")
        shown += traceback.format_exception(raised.value)

    assert SECRET not in "".join(shown)
