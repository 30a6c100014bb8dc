"""What boto3's exceptions mean in indiaai's words; imported by the service."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    Fault,
    IndiaAIError,
    InvalidRequest,
    ObjectExists,
    ObjectNotFound,
    StorageError,
)

__all__ = ["NothingInRange", "translated"]

_BUCKET = ("S3_BUCKET_NAME", "a bucket that exists")
_REGION = ("S3_REGION", "the region that the bucket is in")
_CREDENTIALS = ("AWS_ACCESS_KEY_ID", "valid credentials, in one of the places where boto3 looks for them")
_RIGHTS = ("AWS_ACCESS_KEY_ID", "rights to list the bucket, and to get, put and delete its objects")
_SETTINGS = {
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "301": _REGION,
    "PermanentRedirect": _REGION,
    "AuthorizationHeaderMalformed": _REGION,
    "IllegalLocationConstraintException": _REGION,
    "InvalidAccessKeyId": _CREDENTIALS,
    "SignatureDoesNotMatch": _CREDENTIALS,
    "ExpiredToken": _CREDENTIALS,
    "InvalidToken": _CREDENTIALS,
    "403": _RIGHTS,
    "AccessDenied": _RIGHTS,
    "RequestTimeTooSkewed": ("the clock of this machine", "the right time within 15 minutes"),
}
_ABOUT_THE_OBJECT = {"NoSuchKey": ObjectNotFound, "404": ObjectNotFound, "PreconditionFailed": ObjectExists}
_PASSING = {"BadDigest", "ConditionalRequestConflict", "IncompleteBody", "OperationAborted", "RequestTimeout"}
_TOO_LARGE = {"EntityTooLarge", "KeyTooLongError", "MetadataTooLarge"}


class NothingInRange(StorageError):
    """The object ends before the range that was asked for begins."""


@contextmanager
def translated(key: str = "") -> Iterator[None]:
    """Raise what boto3 raises within the block as the error of ours that says what it means.

    Args:
        key: The key that is asked for, normalised; empty where it is about none.
    """
    from botocore.exceptions import BotoCoreError, ClientError
    from urllib3.exceptions import HTTPError

    try:
        yield
    except ClientError as error:
        raise _refusal(error, key) from error
    except (BotoCoreError, HTTPError) as error:
        raise _failure(error) from error


def _refusal(error: Any, key: str) -> IndiaAIError:
    details = error.response.get("Error", {})
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(details.get("Code") or status)  # an answer to HEAD has no body, and its code is the status
    said = f"{error.operation_name} was answered {code}: {details.get('Message') or 'without a reason'}"
    if key and code in _ABOUT_THE_OBJECT:
        return _ABOUT_THE_OBJECT[code](key)
    if code in _SETTINGS:
        return _misconfigured(*_SETTINGS[code], found=said)
    if code in _PASSING or status == 429 or status >= 500:
        return BackendUnavailable(f"S3 cannot do it now: {said}. Try again later.")
    if code in _TOO_LARGE:
        return InvalidRequest(f"{said}. It is larger than S3 allows.")
    return NothingInRange(said) if code == "InvalidRange" else StorageError(f"{said}. The request was for {key!r}.")


def _failure(error: Exception) -> IndiaAIError:
    from botocore import exceptions

    if isinstance(error, (exceptions.NoCredentialsError, exceptions.PartialCredentialsError)):
        return _misconfigured(*_CREDENTIALS, found="none, or not all of it")
    if isinstance(error, exceptions.ProfileNotFound):
        return _misconfigured("S3_PROFILE", "a profile of ~/.aws/config", found="no such profile")
    if isinstance(error, exceptions.ParamValidationError):
        return StorageError(f"boto3 does not make this request: {error}")
    return BackendUnavailable(f"S3 did not answer ({type(error).__name__}). Is the network there? Try again later.")


def _misconfigured(variable: str, expected: str, *, found: str) -> ConfigurationError:
    fault = Fault(variable, found, expected)
    return ConfigurationError(f"S3 cannot be used. {fault}.", faults=[fault])
