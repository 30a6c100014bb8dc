"""What is wrong is said in words that mend it, and without a secret."""

from __future__ import annotations

import socket
import traceback
from collections.abc import Callable

import pytest

from indiaai_core import BackendUnavailable, ConfigurationError, InvalidRequest, InvalidSettings, StorageError
from indiaai_storage_s3 import S3Settings, S3StorageService
from indiaai_storage_s3.errors import translated

pytestmark = pytest.mark.anyio

SECRET = "another-secret-that-no-message-may-show"


def refuse(code: str, status: int) -> None:
    """Raise what boto3 raises for such an answer."""
    from botocore.exceptions import ClientError

    with translated("some/key"):
        raise ClientError({"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}, "PutObject")  # type: ignore[typeddict-item] # its other fields are not looked at


async def test_a_bucket_that_is_not_there_is_a_fault_of_its_variable(moto: str) -> None:
    """`check` names the variable, for it is what has to be changed."""
    async with S3StorageService(S3Settings(bucket_name="no-such-bucket", endpoint_url=moto)) as service:
        with pytest.raises(ConfigurationError) as raised:
            await service.check()

    assert [fault.variable for fault in raised.value.faults] == ["S3_BUCKET_NAME"]


async def test_absent_credentials_are_said_to_be_absent(moto: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """boto3 looks in many places; where it finds nothing, the error says what it looked for."""
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "none")
    monkeypatch.setenv("AWS_CONFIG_FILE", "none")

    async with S3StorageService(S3Settings(bucket_name="bucket", endpoint_url=moto)) as service:
        with pytest.raises(ConfigurationError, match="AWS_ACCESS_KEY_ID"):
            await service.check()


async def test_a_profile_that_is_not_there_is_a_fault_of_its_variable(moto: str) -> None:
    """A profile is a setting like any other."""
    async with S3StorageService(S3Settings(bucket_name="bucket", endpoint_url=moto, profile="nobody")) as service:
        with pytest.raises(ConfigurationError, match="S3_PROFILE"):
            await service.check()


async def test_wrong_credentials_are_told_apart_and_never_shown(
    rclone: str, make_service: Callable[[str], S3StorageService], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's refusal names the credentials; neither the message nor the traceback shows the secret."""
    bucket = make_service(rclone).settings.bucket_name
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)

    async with S3StorageService(S3Settings(bucket_name=bucket, endpoint_url=rclone)) as service:
        with pytest.raises(ConfigurationError) as raised:
            await service.check()

    assert raised.value.faults[0].variable == "AWS_ACCESS_KEY_ID"
    assert SECRET not in "".join(traceback.format_exception(raised.value))


async def test_a_store_that_does_not_answer_is_unavailable() -> None:
    """Whoever is not there may be there later."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"  # taken, and nobody listens

        async with S3StorageService(S3Settings(bucket_name="bucket", endpoint_url=address)) as service:
            with pytest.raises(BackendUnavailable):
                await service.download("anything")


@pytest.mark.parametrize(
    ("code", "status", "kind"),
    [
        ("SlowDown", 503, BackendUnavailable),
        ("InternalError", 500, BackendUnavailable),
        ("TooManyRequests", 429, BackendUnavailable),
        ("RequestTimeout", 400, BackendUnavailable),
        ("ConditionalRequestConflict", 409, BackendUnavailable),
        ("MetadataTooLarge", 400, InvalidRequest),
        ("EntityTooLarge", 400, InvalidRequest),
        ("301", 301, ConfigurationError),
        ("AccessDenied", 403, ConfigurationError),
        ("InvalidObjectState", 403, StorageError),
    ],
)
def test_a_refusal_is_the_error_that_says_whether_a_retry_helps(code: str, status: int, kind: type[Exception]) -> None:
    """What passes, what the settings mend, what the caller mends, and the rest: each is its own class."""
    with pytest.raises(kind) as raised:
        refuse(code, status)

    assert type(raised.value) is kind
    assert code in str(raised.value)


def test_what_boto3_itself_refuses_is_a_storage_error() -> None:
    """A request that boto3 does not make is no fault of the store's."""
    from botocore.exceptions import ParamValidationError

    with pytest.raises(StorageError, match="does not make this request"), translated():
        raise ParamValidationError(report="no such parameter")


def test_all_faults_of_the_settings_are_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """One error names every variable that is absent or wrong."""
    monkeypatch.setenv("S3_BUCKET_NAME", "Not A Bucket")
    monkeypatch.setenv("S3_MAX_CONNECTIONS", "0")

    with pytest.raises(InvalidSettings) as raised:
        S3StorageService()

    assert {fault.variable for fault in raised.value.faults} == {"S3_BUCKET_NAME", "S3_MAX_CONNECTIONS"}
