"""What leaves the process, byte by byte, where R2 is not S3."""

from __future__ import annotations

import pytest

from indiaai_storage_r2 import R2StorageService
from making import ACCESS_KEY_ID, SECRET, ServiceMaker
from r2 import R2Server, Token

pytestmark = pytest.mark.anyio

MIB = 1024 * 1024


async def use_everything(service: R2StorageService) -> None:
    """Make every kind of request that brings bytes, or may."""
    await service.upload("small", b"content", "text/plain", metadata={"name": "नमस्ते"})
    await service.upload("large", bytes(11 * MIB))
    await service.upload("new", b"content", if_absent=True)
    assert await service.download("small") == b"content"
    assert await service.download("large") == bytes(11 * MIB)
    assert await service.delete("small")
    service.client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "large"}]})


async def test_over_tls_no_request_has_what_r2_refuses(tls_server: R2Server, make_service: ServiceMaker) -> None:
    """Over TLS 1.3, bodies go out plain: no waiting for 100, no chunks, no trailers, no checksum headers, not hashed twice."""
    await use_everything(make_service(tls_server.endpoint))

    for request in tls_server.requests:
        assert "expect" not in request.headers
        assert "transfer-encoding" not in request.headers
        assert not [name for name in request.headers if name.startswith(("x-amz-checksum", "x-amz-trailer"))]
        if request.method == "PUT":
            assert request.headers["x-amz-content-sha256"] == "UNSIGNED-PAYLOAD"


async def test_every_body_has_its_md5(server: R2Server, service: R2StorageService) -> None:
    """Every request that brings bytes, and a bulk delete, says their MD5, by which the store refuses damaged ones."""
    await use_everything(service)

    with_bytes = [request for request in server.requests if request.method == "PUT" or "delete" in request.query]

    assert len(with_bytes) == 6
    assert all("content-md5" in request.headers for request in with_bytes)


async def test_requests_are_signed_as_r2_asks(server: R2Server, service: R2StorageService) -> None:
    """Signatures are SigV4 for the region auto, the bucket is in the path, and no compressed answer is asked for."""
    await use_everything(service)

    for request in server.requests:
        assert request.headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        assert "/auto/s3/aws4_request" in request.headers["authorization"]
        assert request.path.startswith("/bucket")
        assert request.headers.get("accept-encoding", "identity") == "identity"


async def test_parts_have_one_length(server: R2Server, service: R2StorageService) -> None:
    """All parts but the last have the same length, and they are put together by their numbers."""
    content = bytes(range(256)) * (48 * 1024)

    await service.upload("parts", content)

    sizes = {int(request.query["partNumber"]): len(request.body) for request in server.requests if request.method == "PUT"}
    assert sizes == {1: 5 * MIB, 2: 5 * MIB, 3: 2 * MIB}
    assert server.objects["/bucket/parts"].content == content


async def test_a_variable_for_aws_changes_nothing(
    server: R2Server, make_service: ServiceMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the machine has set up for AWS, right or wrong, does not touch a client whose settings are R2's."""
    for name, value in {
        "AWS_PROFILE": "nobody",
        "AWS_CONFIG_FILE": __file__,
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_SESSION_TOKEN": "another",
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_USE_DUALSTACK_ENDPOINT": "true",
        "AWS_REQUEST_CHECKSUM_CALCULATION": "when_supported",
        "AWS_DEFAULT_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)

    await make_service(server.endpoint).upload("key", b"content")

    assert "x-amz-security-token" not in server.requests[0].headers
    assert "/auto/s3/" in server.requests[0].headers["authorization"]


async def test_a_session_token_is_sent(server: R2Server, make_service: ServiceMaker) -> None:
    """Temporary credentials bring their token."""
    server.add(Token(ACCESS_KEY_ID, SECRET, session_token="temporary"))

    await make_service(server.endpoint, session_token="temporary").upload("key", b"content")

    assert server.requests[0].headers["x-amz-security-token"] == "temporary"
