"""Verifies SigV4, of headers and of presigned URLs, from its specification and with no line of the product's or botocore's.

Source: "Authenticating Requests (AWS Signature Version 4)" in the API reference of Amazon S3; the codes are those of R2's
page "Error codes". Imported by the R2 rule server.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import quote

from r2.messages import Refused, Request

__all__ = ["Token", "verify"]

REGIONS = {"auto", "us-east-1", "", "wnam", "enam", "weur", "eeur", "apac", "oc"}
MAX_SKEW = timedelta(minutes=15)
MAX_EXPIRY_SECONDS = 604_800
ID_LENGTH = 32

_ALGORITHM = "AWS4-HMAC-SHA256"
_HEADER = re.compile(_ALGORITHM + r" Credential=([^,\s]+),\s*SignedHeaders=([^,\s]+),\s*Signature=([0-9a-f]{64})")
_IN_QUERY = ("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders")


@dataclass(frozen=True)
class Token:
    """Somebody who may ask.

    Attributes:
        access_key_id: 32 characters.
        secret_access_key: What signs.
        session_token: What temporary credentials bring along.
        is_admin: Whether buckets may be listed and made; a token for objects only may not.
        may_list: Whether objects may be listed.
        may_write: Whether objects may be written.
        prefix: What the keys must begin with.
    """

    access_key_id: str
    secret_access_key: str
    session_token: str = ""
    is_admin: bool = False
    may_list: bool = True
    may_write: bool = True
    prefix: str = ""


@dataclass(frozen=True)
class _Claim:
    credential: str
    signed_headers: str
    signature: str
    moment: str
    payload: str
    session_token: str
    expires_in: int | None
    pairs: list[tuple[str, str]]


def verify(request: Request, tokens: Mapping[str, Token], *, now: datetime) -> Token:
    """Return whose request it is.

    Args:
        request: What arrived.
        tokens: Those who may ask, by access key id.
        now: The server's time.

    Raises:
        Refused: Nobody's, or not in time, or not what was signed.
    """
    claim = _read(request)
    try:
        access_key_id, day, region, service, ending = claim.credential.split("/")
    except ValueError:
        raise Refused(400, "InvalidArgument", "Credential") from None
    if region not in REGIONS:
        raise Refused(400, "InvalidRegionName", f"The region name '{region}' is not valid. Must be one of: wnam, …, auto")
    if len(access_key_id) != ID_LENGTH:
        said = f"Credential access key has length {len(access_key_id)}, should be {ID_LENGTH}"
        raise Refused(400, "InvalidArgument", said)
    token = tokens.get(access_key_id)
    if token is None or (service, ending) != ("s3", "aws4_request"):
        raise Refused(401, "Unauthorized", "Unauthorized")
    _check_time(claim, day=day, now=now)
    if claim.session_token != token.session_token:
        raise Refused(400, "InvalidToken", "The provided token is malformed or otherwise invalid.")
    _check_signature(request, claim, scope=[day, region, service, ending], secret=token.secret_access_key)
    _check_payload(request, claim.payload)
    return token


def _read(request: Request) -> _Claim:
    header = request.headers.get("authorization", "")
    if "X-Amz-Signature" in request.query:
        return _read_query(request)
    if header.startswith("AWS ") or "AWSAccessKeyId" in request.query:
        raise Refused(401, "Unauthorized", "SigV2 authorization is not supported. Please use SigV4 instead.")
    found = _HEADER.fullmatch(header)
    if not found:
        raise Refused(400, "InvalidArgument", "Authorization")
    if "x-amz-content-sha256" not in request.headers:
        raise Refused(400, "InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    return _Claim(
        credential=found[1],
        signed_headers=found[2],
        signature=found[3],
        moment=request.headers.get("x-amz-date", ""),
        payload=request.headers["x-amz-content-sha256"],
        session_token=request.headers.get("x-amz-security-token", ""),
        expires_in=None,
        pairs=request.pairs,
    )


def _read_query(request: Request) -> _Claim:
    query = request.query
    absent = [name for name in _IN_QUERY if name not in query]
    if absent or query["X-Amz-Algorithm"] != _ALGORITHM:
        raise Refused(400, "AuthorizationQueryParametersError", f"{absent or 'X-Amz-Algorithm'}")
    seconds = query["X-Amz-Expires"]
    if not seconds.isdecimal() or not 1 <= int(seconds) <= MAX_EXPIRY_SECONDS:
        raise Refused(400, "AuthorizationQueryParametersError", "X-Amz-Expires must be 1 second to one week")
    if request.method not in ("GET", "HEAD", "PUT", "DELETE"):
        raise Refused(501, "NotImplemented", f"A presigned {request.method} is not implemented.")
    return _Claim(
        credential=query["X-Amz-Credential"],
        signed_headers=query["X-Amz-SignedHeaders"],
        signature=query["X-Amz-Signature"],
        moment=query["X-Amz-Date"],
        payload=query.get("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD"),
        session_token=query.get("X-Amz-Security-Token", ""),
        expires_in=int(seconds),
        pairs=[pair for pair in request.pairs if pair[0] != "X-Amz-Signature"],
    )


def _check_time(claim: _Claim, *, day: str, now: datetime) -> None:
    try:
        moment = datetime.strptime(claim.moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise Refused(400, "InvalidArgument", "x-amz-date") from None
    if not claim.moment.startswith(day):
        raise Refused(403, "SignatureDoesNotMatch", "The date is not the credential's.")
    if claim.expires_in is not None and now > moment + timedelta(seconds=claim.expires_in):
        raise Refused(400, "ExpiredRequest", "Presigned URL has expired.")
    too_late = claim.expires_in is None and now > moment + MAX_SKEW
    if too_late or moment > now + MAX_SKEW:
        raise Refused(403, "RequestTimeTooSkewed", "The difference between the request time and the server's is too large.")


def _check_signature(request: Request, claim: _Claim, *, scope: list[str], secret: str) -> None:
    names = claim.signed_headers.split(";")
    unsigned = {name for name in request.headers if name.startswith("x-amz-") and claim.expires_in is None} - set(names)
    if "host" not in names or unsigned:
        raise Refused(403, "AccessDenied", f"There were headers present in the request which were not signed: {unsigned}")
    pairs = sorted((quote(name, safe="~"), quote(value, safe="~")) for name, value in claim.pairs)
    asked = "\n".join(
        [
            request.method,
            quote(request.path, safe="/~"),
            "&".join(f"{name}={value}" for name, value in pairs),
            *(f"{name}:{' '.join(request.headers.get(name, '').split())}" for name in names),
            "",
            claim.signed_headers,
            claim.payload,
        ]
    )
    signed = "\n".join([_ALGORITHM, claim.moment, "/".join(scope), hashlib.sha256(asked.encode()).hexdigest()])
    key = f"AWS4{secret}".encode()
    for part in [*scope, signed]:
        key = hmac.digest(key, part.encode(), "sha256")
    if not hmac.compare_digest(key.hex(), claim.signature):
        raise Refused(403, "SignatureDoesNotMatch", "The request signature does not match. Check your secret and method.")


def _check_payload(request: Request, digest: str) -> None:
    if digest == "UNSIGNED-PAYLOAD":
        return
    if digest.startswith("STREAMING-"):
        raise Refused(501, "NotImplemented", f"{digest} not implemented")
    if digest != hashlib.sha256(request.body).hexdigest():
        raise Refused(400, "XAmzContentSHA256Mismatch", "The provided x-amz-content-sha256 is not that of the body.")
