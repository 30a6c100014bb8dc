"""What R2 does not implement or allow in any request, whoever asks; imported by the R2 rule server.

Sources: R2's pages "S3 API compatibility", "Limits" and "Error codes".
"""

from __future__ import annotations

import base64
import hashlib
import re
import zlib

from r2.messages import Refused, Request
from r2.store import Store

__all__ = ["MAX_METADATA_BYTES", "MAX_PART_BYTES", "MAX_PUT_BYTES", "check"]

MIB, GIB = 1024**2, 1024**3
MAX_KEY_BYTES = 1024
MAX_METADATA_BYTES = 8192
MAX_PUT_BYTES = 5 * GIB - 5 * MIB
MAX_PART_BYTES = 5 * GIB

_HEADERS = re.compile(
    r"x-amz-grant-.*|x-amz-tagging(-directive)?|x-amz-object-lock-.*|x-amz-bucket-object-lock-enabled|x-amz-mfa"
    r"|x-amz-website-redirect-location|x-amz-request-payer|x-amz-(source-)?expected-bucket-owner|x-amz-trailer"
    r"|x-amz-bypass-governance-retention|x-amz-server-side-encryption(-aws-kms-key-id|-context|-bucket-key-enabled)?"
    r"|x-amz-decoded-content-length"
)
_SUBRESOURCES = {
    *("acl", "tagging", "policy", "policyStatus", "versioning", "versions", "versionId", "object-lock", "retention"),
    *("legal-hold", "torrent", "website", "logging", "notification", "replication", "requestPayment", "restore"),
    *("accelerate", "analytics", "inventory", "metrics", "ownershipControls", "publicAccessBlock", "select", "attributes"),
}
_COMPOSITE = {"crc32": 4, "crc32c": 4, "sha1": 20, "sha256": 32}
_CHECKSUMS = {"sha1": hashlib.sha1, "sha256": hashlib.sha256}


def check(request: Request, store: Store) -> None:
    """Refuse what breaks a rule that holds for every request.

    Raises:
        Refused: It breaks one.
    """
    for name, value in request.headers.items():
        if _HEADERS.fullmatch(name) or (name == "x-amz-acl" and value != "public-read"):
            raise Refused(501, "NotImplemented", f"Header '{name}' with value '{value}' not implemented")
    for name in request.query:
        if name in _SUBRESOURCES:
            raise Refused(501, "NotImplemented", f"'{name}' not implemented")
    if "aws-chunked" in request.headers.get("content-encoding", ""):
        raise Refused(501, "NotImplemented", "STREAMING payloads are not implemented")
    if "transfer-encoding" in request.headers:
        raise Refused(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if len(request.key.encode()) > MAX_KEY_BYTES:
        raise Refused(400, "InvalidObjectName", "The specified object name is not valid.")
    _check_digest(request)
    _check_checksums(request, store)


def _check_digest(request: Request) -> None:
    expected = request.headers.get("content-md5")
    if expected is None:
        return
    if not re.fullmatch(r"[A-Za-z0-9+/]{22}==", expected):
        raise Refused(400, "InvalidDigest", "The Content-MD5 you specified is not valid.")
    if expected != base64.b64encode(hashlib.md5(request.body, usedforsecurity=False).digest()).decode():
        raise Refused(400, "BadDigest", "The Content-MD5 you specified did not match what we received.")


def _check_checksums(request: Request, store: Store) -> None:
    kind = request.headers.get("x-amz-checksum-type")
    if kind is not None and (kind == "FULL_OBJECT") != (request.headers.get("x-amz-checksum-algorithm") == "CRC64NVME"):
        raise Refused(501, "NotImplemented", f"Checksum type {kind} is not implemented for this algorithm")
    for name, value in request.headers.items():
        algorithm = name.removeprefix("x-amz-checksum-")
        if algorithm not in (*_COMPOSITE, "crc64nvme") or algorithm == name:
            continue
        if not store.takes_checksums or algorithm in ("crc64nvme", "crc32c"):
            raise Refused(501, "NotImplemented", f"Header '{name}' with value '{value}' not implemented")
        if value != base64.b64encode(_checksum(algorithm, request.body)).decode():
            raise Refused(400, "BadDigest", f"The {name} you specified did not match what we received.")


def _checksum(algorithm: str, body: bytes) -> bytes:
    if algorithm == "crc32":
        return zlib.crc32(body).to_bytes(_COMPOSITE[algorithm], "big")
    return _CHECKSUMS[algorithm](body).digest()
