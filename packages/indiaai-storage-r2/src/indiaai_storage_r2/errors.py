"""What the client's exceptions mean in indiaai's words; imported by everything here that asks the store for something."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any

from indiaai_core import (
    BackendUnavailable,
    ConfigurationError,
    Fault,
    IndiaAIError,
    InvalidRequest,
    ObjectNotFound,
    StorageError,
)
from indiaai_storage_r2.lean.failures import Unanswered
from indiaai_storage_r2.settings import R2Settings

__all__ = ["RequestRefused", "client_errors", "clock_skew", "describe_skew", "translate"]

_MAKE_ONE = "make a token in the dashboard under *R2*, *Manage API tokens*, and set R2_ACCESS_KEY_ID and R2_SECRET_ACCESS_KEY"
_TOKEN = ("R2_ACCESS_KEY_ID", "the access key id of a token that is valid here; a new one may take a minute", _MAKE_ONE)
_RIGHTS = (
    "R2_ACCESS_KEY_ID",
    "a token that may read and write the objects of R2_BUCKET_NAME",
    "give the token *Object Read & Write* for the bucket {bucket} in the dashboard under *R2*, *Manage API tokens*",
)
_BUCKET = (
    "R2_BUCKET_NAME",
    "a bucket that exists at this endpoint and in this R2_JURISDICTION",
    "make it (npx wrangler r2 bucket create {bucket}), or set R2_BUCKET_NAME to one that is there",
)
_CLOCK = ("the clock of this machine", "the right time within 15 minutes", "set it by the network: timedatectl set-ntp true")
_SETTINGS = {
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "Unauthorized": _TOKEN,
    "InvalidAccessKeyId": _TOKEN,
    "AuthorizationHeaderMalformed": _TOKEN,
    "401": _TOKEN,
    "SignatureDoesNotMatch": (
        "R2_SECRET_ACCESS_KEY",
        "the secret that belongs to R2_ACCESS_KEY_ID",
        f"set both from one token; a secret is shown once: where it is lost, {_MAKE_ONE}",
    ),
    "ExpiredToken": ("R2_SESSION_TOKEN", "temporary credentials that have not expired", "ask for new ones, and set all three"),
    "InvalidToken": (
        "R2_SESSION_TOKEN",
        "the session token that came with R2_ACCESS_KEY_ID; none where it has none",
        "set it as it came with the key, or take R2_SESSION_TOKEN away",
    ),
    "RequestTimeTooSkewed": _CLOCK,
    "ExpiredRequest": _CLOCK,
    "NotEntitled": (
        "R2_ACCOUNT_ID",
        "an account that R2 is enabled in, which the dashboard does under *R2*",
        "enable R2 there, or set R2_ACCOUNT_ID to the account that has the bucket",
    ),
    "InvalidRegionName": (
        "R2_ENDPOINT_URL",
        "a store that takes the region 'auto'",
        "set R2_ENDPOINT_URL to R2's, or a store like it",
    ),
    "Redirect": ("R2_ENDPOINT_URL", "the store itself, which answers", "set it to where this points, if you trust that"),
    "AccessDenied": _RIGHTS,
    "403": _RIGHTS,
}
# 400s that say only that the bytes did not arrive, or not as they were sent, and 409s of two writers at a time.
_PASSING = {
    "BadDigest",
    "ClientDisconnect",
    "ConditionalRequestConflict",
    "IncompleteBody",
    "OperationAborted",
    "RequestTimeout",
    "XAmzContentSHA256Mismatch",
}
_LASTING_STATUS = {501, 505}
_TOO_MUCH = {"EntityTooLarge", "KeyTooLongError", "MetadataTooLarge"}


class RequestRefused(StorageError):
    """The store understood the request and refused it for a reason that has no error of its own.

    Attributes:
        code: The store's name for the reason, such as `PreconditionFailed`.
        status: The HTTP status.
    """

    def __init__(self, message: str, *, code: str, status: int) -> None:
        """Keep the message for people, code and status for programs."""
        super().__init__(message)
        self.code = code
        self.status = status


@cache
def client_errors() -> tuple[type[Exception], ...]:
    """Return everything that boto3 raises for a call; it is loaded by the time one failed."""
    from botocore.exceptions import BotoCoreError, ClientError
    from botocore.parsers import ResponseParserError
    from urllib3.exceptions import HTTPError

    return BotoCoreError, ClientError, ResponseParserError, HTTPError


def translate(error: Exception, *, key: str, settings: R2Settings) -> IndiaAIError:
    """Return the error of ours that says what one of `client_errors`, or of the lean client's, means.

    Args:
        error: What the client raised; the caller keeps it as the cause.
        key: The key that was asked for; empty where the call is about none.
        settings: What the store was asked with.
    """
    response = getattr(error, "response", None)
    if isinstance(response, dict):
        return _translate_answer(error, response, key=key, settings=settings)
    endpoint, variables = settings.endpoint, settings.variables
    if "CERTIFICATE_VERIFY_FAILED" in str(error):
        fault = Fault(variables("R2_ENDPOINT_URL"), f"{endpoint} has no trusted certificate", "one", "see AWS_CA_BUNDLE")
        return ConfigurationError(f"{fault}.", faults=[fault])
    if _is_passing(error):
        look_at = variables("R2_ACCOUNT_ID or R2_ENDPOINT_URL")
        reason = str(error) if isinstance(error, Unanswered) else type(error).__name__
        return BackendUnavailable(f"{endpoint} did not answer ({reason}). If it never does, check {look_at}.")
    failure = f"{type(error).__name__}: {error}"
    return StorageError(f"The request for {key!r} could not be made ({failure}). Check {variables('R2_…')}.")


def _is_passing(error: Exception) -> bool:
    if isinstance(error, Unanswered):
        return True
    from botocore import exceptions

    lasting = (exceptions.ValidationError, exceptions.ParamValidationError, exceptions.NoCredentialsError)
    return not isinstance(error, (*lasting, exceptions.InvalidProxiesConfigError, exceptions.ProfileNotFound))


def _translate_answer(error: Exception, response: dict[str, Any], *, key: str, settings: R2Settings) -> IndiaAIError:
    # R2 and others may leave out the message, and an answer to HEAD has no body at all.
    details = response.get("Error") or {}
    metadata = response.get("ResponseMetadata") or {}
    status = int(metadata.get("HTTPStatusCode") or 0)
    code = str(details.get("Code") or status)
    said = f"{code} ({status})" + (f": {details['Message']}" if details.get("Message") else "")
    headers = metadata.get("HTTPHeaders") or {}
    asked = f"{getattr(error, 'operation_name', 'The request')} for {key!r}" if key else "The request"
    if key and status == 404 and code in ("NoSuchKey", "NotFound", "404"):
        return ObjectNotFound(key)
    if code in _PASSING or status in (408, 429) or (status >= 500 and status not in _LASTING_STATUS):
        return BackendUnavailable(
            f"{settings.endpoint} cannot do it now: {asked} was answered {said}. Try again later.",
            retry_after=_retry_after(status, headers),
        )
    if code == "InvalidArgument" and "access key" in said:  # R2's word for an id of another length than its own have
        code = "InvalidAccessKeyId"
    if 300 <= status < 400:
        code, said = "Redirect", f"{said}, which points to {_origin(headers.get('location', ''))}"
    if code in _SETTINGS:
        seconds = clock_skew(response) if _SETTINGS[code] is _CLOCK else None
        fault = _find_fault(code, said if seconds is None else f"{said}; {describe_skew(seconds)}", settings)
        return ConfigurationError(f"{asked} was refused. {fault}.", faults=[fault])
    if code in _TOO_MUCH:
        return InvalidRequest(f"{asked} was refused: {said}. It is larger than the store allows.")
    return RequestRefused(f"{asked} was refused by {settings.endpoint}: {said}.", code=code, status=status)


def _find_fault(code: str, said: str, settings: R2Settings) -> Fault:
    variable, expected, remedy = map(settings.variables, _SETTINGS[code])
    return Fault(variable, f"{settings.endpoint} answers {said}", expected, remedy.format(bucket=settings.bucket_name))


def _origin(address: str) -> str:
    found = re.match(r"https?://[^/?#@]+", address)  # without path and query, in which a signature may be
    return found[0] if found else "no other address"


def clock_skew(response: Mapping[str, Any]) -> float | None:
    """Return how many seconds this machine's clock is ahead of the store's, by an answer; None where that does not say.

    Args:
        response: An answer, or a refusal, in boto3's form.
    """
    text = ((response.get("ResponseMetadata") or {}).get("HTTPHeaders") or {}).get("date", "")
    with suppress(ValueError, TypeError):  # absent, malformed, or without a zone
        return (datetime.now(UTC) - parsedate_to_datetime(text)).total_seconds()
    return None


def describe_skew(seconds: float) -> str:
    """Say how far this machine's clock is off."""
    return f"it is {abs(seconds):.0f} s {'ahead of' if seconds > 0 else 'behind'} the store's"


def _retry_after(status: int, headers: Mapping[str, str]) -> float | None:
    # RFC 9110: seconds, or a date. R2 takes one write a second to a key and answers 429 without saying when to come back.
    text = headers.get("retry-after", "")
    if text.isdecimal():
        return float(text)
    with suppress(ValueError):
        return max((parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds(), 0.0)
    return 1.0 if status == 429 else None
