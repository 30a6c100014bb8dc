"""boto3 as it comes fails against R2's rules: what the service sets up is needed, and the rule server notices."""

from __future__ import annotations

import socket
import ssl
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError
from botocore.handlers import add_expect_header

from fetch import fetch_with
from r2 import R2Server
from r2.server import ACCESS_KEY_ID, SECRET

if TYPE_CHECKING:
    from types_boto3_s3.client import S3Client

MIB = 1024 * 1024


def boto3_client(server: R2Server, region: str = "auto", **config: Any) -> S3Client:
    """Return boto3's client with nothing set but where it is and who asks, and without second attempts."""
    return boto3.client(
        "s3",
        endpoint_url=server.endpoint,
        aws_access_key_id=ACCESS_KEY_ID,
        aws_secret_access_key=SECRET,
        region_name=region,
        config=Config(retries={"total_max_attempts": 1}, **config),
    )


@pytest.fixture
def client(server: R2Server) -> S3Client:
    """The client over http."""
    return boto3_client(server)


@pytest.fixture
def tls_client(tls_server: R2Server) -> S3Client:
    """The client over TLS, as patient as a test can bear."""
    return boto3_client(tls_server, connect_timeout=0.5)


def test_a_put_over_tls_is_given_up(tls_server: R2Server, tls_client: S3Client) -> None:
    """Over TLS 1.3 it waits for `100 Continue` until the connection's timeout, and then fails."""
    with pytest.raises((ConnectionClosedError, ClientError)):
        tls_client.put_object(Bucket="bucket", Key="key", Body=b"content")

    assert tls_server.objects == {}


def test_a_put_over_http_waits_a_second(server: R2Server, client: S3Client) -> None:
    """Over http it waits a second before it sends the body: a second, and not the rest, is what the bound measures."""
    client.list_objects_v2(Bucket="bucket")
    server.takes_checksums = True
    started = time.monotonic()

    client.put_object(Bucket="bucket", Key="key", Body=b"content")

    assert 0.9 < time.monotonic() - started < 10
    assert server.requests[-1].headers["expect"] == "100-continue"


def test_a_body_over_tls_is_refused_for_its_chunks(tls_server: R2Server, tls_client: S3Client) -> None:
    """Without that wait, what it sends over TLS is chunks with a checksum behind them, wherever checksums are taken."""
    tls_server.takes_checksums = True
    tls_client.meta.events.unregister("before-call.s3", add_expect_header)

    with pytest.raises(ClientError, match="NotImplemented"):
        tls_client.put_object(Bucket="bucket", Key="key", Body=b"content")

    assert tls_server.objects == {}


def test_a_body_over_http_is_refused_for_its_checksum(server: R2Server, client: S3Client) -> None:
    """Over http the checksum is a plain header, which R2 took at some times and at others not."""
    client.meta.events.unregister("before-call.s3", add_expect_header)

    with pytest.raises(ClientError, match="NotImplemented"):
        client.put_object(Bucket="bucket", Key="key", Body=b"content")

    assert server.objects == {}


def test_a_bulk_delete_has_no_digest(server: R2Server, client: S3Client) -> None:
    """It sends a checksum of its own in place of Content-MD5."""
    server.takes_checksums = True

    with pytest.raises(ClientError, match="MissingContentMD5"):
        client.delete_objects(Bucket="bucket", Delete={"Objects": [{"Key": "key"}]})


def test_an_acl_is_refused(client: S3Client) -> None:
    """What many set without a thought is not implemented."""
    client.meta.events.unregister("before-call.s3", add_expect_header)

    with pytest.raises(ClientError, match="NotImplemented"):
        client.put_object(Bucket="bucket", Key="key", Body=b"content", ACL="private")


def test_a_region_of_aws_is_refused(server: R2Server) -> None:
    """The region that the machine has for AWS is none of R2's."""
    with pytest.raises(ClientError, match="InvalidRegionName"):
        boto3_client(server, "ap-south-1").list_objects_v2(Bucket="bucket")


@pytest.mark.anyio
async def test_a_url_for_us_east_1_has_the_old_signature(server: R2Server) -> None:
    """R2 takes the region, and boto3 then signs its URLs in a way that R2 does not take."""
    url = boto3_client(server, "us-east-1").generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"})

    answer = await fetch_with()("GET", url)

    assert "AWSAccessKeyId=" in urlsplit(url).query
    assert answer.status == 401
    assert b"SigV4" in answer.body


@pytest.mark.anyio
async def test_a_url_for_eight_days_is_signed_and_refused(client: S3Client) -> None:
    """boto3 signs it without a word."""
    url = client.generate_presigned_url("get_object", Params={"Bucket": "bucket", "Key": "key"}, ExpiresIn=8 * 86_400)

    assert (await fetch_with()("GET", url)).status == 400


def test_parts_of_several_lengths_are_refused_at_the_end(server: R2Server, client: S3Client) -> None:
    """Nothing in boto3 keeps a caller from sending parts that R2 does not put together."""
    server.takes_checksums = True
    client.meta.events.unregister("before-call.s3", add_expect_header)
    target: Any = {"Bucket": "bucket", "Key": "key"}
    upload_id = client.create_multipart_upload(**target)["UploadId"]
    parts: Any = [
        {"PartNumber": number, "ETag": client.upload_part(**target, UploadId=upload_id, PartNumber=number, Body=body)["ETag"]}
        for number, body in enumerate([bytes(5 * MIB), bytes(6 * MIB), b"end"], 1)
    ]

    with pytest.raises(ClientError, match="InvalidPart"):
        client.complete_multipart_upload(**target, UploadId=upload_id, MultipartUpload={"Parts": parts})


def test_the_servers_speak_tls_1_3(tls_server: R2Server, tmp_path: Path) -> None:
    """What is said of TLS here is said of its newest version."""
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    with (
        socket.create_connection(("localhost", tls_server.port), 5) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        assert wrapped.version() == "TLSv1.3"
