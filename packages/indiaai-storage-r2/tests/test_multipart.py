"""The lean client's answers about uploads in parts are boto3's, and a success that is none is an error on both."""

from __future__ import annotations

from typing import Any

import pytest

from indiaai_core import BackendUnavailable
from indiaai_storage_r2 import R2StorageService
from indiaai_storage_r2.lean.client import LeanClient
from indiaai_storage_r2.lean.failures import Refused, Unanswered
from making import ServiceMaker, make_settings
from r2 import Answer, Fault, R2Server
from scripted import ScriptedServer
from test_lean import client_of, say, say_always

MIB = 1024 * 1024
UPLOAD = {"Bucket": "bucket", "Key": "key", "UploadId": "id"}
PARTS = {"Parts": [{"PartNumber": 1, "ETag": '"e"'}]}
XML = '<?xml version="1.0" encoding="UTF-8"?>'
NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def document(text: str, *, status: str = "200 OK") -> bytes:
    """Return an answer that is a document."""
    content = text.encode()
    return f"HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content


def chunks(*texts: str) -> bytes:
    """Return an answer that comes piece by piece."""
    body = b"".join(b"%x\r\n%s\r\n" % (len(text), text.encode()) for text in texts)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n\r\n"


def created(text: str) -> str:
    """Return what a store says of a new upload."""
    return f"<InitiateMultipartUploadResult {NAMESPACE}>{text}</InitiateMultipartUploadResult>"


def completed(text: str) -> str:
    """Return what a store says of an object that was put together."""
    return f"<CompleteMultipartUploadResult {NAMESPACE}>{text}</CompleteMultipartUploadResult>"


CREATED = {
    "an id with signs": created("<UploadId>a/b+c=&amp;&lt;&#38;&#x2B;</UploadId>"),
    "a key like an id": f"{XML}\n{created('<Key>&lt;UploadId&gt;x</Key><UploadId>id</UploadId>')}",
}


@pytest.mark.parametrize("text", CREATED.values(), ids=CREATED)
def test_the_id_of_an_upload_is_boto3_s(text: str) -> None:
    """Whatever is in an upload's id, both clients read the same out of the store's document."""
    server = ScriptedServer(say_always(document(text)))
    with client_of(server) as ours:
        theirs = R2StorageService(make_settings(server.endpoint)).client

        ids = {client.create_multipart_upload(Bucket="bucket", Key="key")["UploadId"] for client in (ours, theirs)}

        theirs.close()
    assert len(ids) == 1


COMPLETED = {
    "entities": document(XML + completed("<ETag>&quot;e-2&quot;</ETag>")),
    "numbers": document(f"{XML}{completed('<ETag>&#34;e-2&#x22;</ETag>')}\n"),
    "signs": document(completed('<Key>a&gt;</Key><ETag>"e-2"</ETag>')),
    "blanks that keep the line alive": chunks(XML, "\n  ", " ", *completed('<ETag>"e-2"</ETag>').partition("<ETag>")),
}


@pytest.mark.parametrize("answer", COMPLETED.values(), ids=COMPLETED)
def test_the_etag_of_a_whole_is_boto3_s(answer: bytes) -> None:
    """However the store writes the quotes, and however slowly it answers, both clients read the same ETag."""
    server = ScriptedServer(say_always(answer))
    with client_of(server) as ours:
        theirs: Any = R2StorageService(make_settings(server.endpoint)).client

        etags = [client.complete_multipart_upload(**UPLOAD, MultipartUpload=PARTS)["ETag"] for client in (ours, theirs)]

        theirs.close()
    assert etags == ['"e-2"', '"e-2"']


def test_an_error_behind_a_200_is_one() -> None:
    """What the store says after it has promised success is refused as both clients refuse it: as a 500 with its code."""
    text = f"{XML}<Error><Code>InternalError</Code><Message>a &lt; b</Message></Error>"
    server = ScriptedServer(say_always(document(text)))
    errors: list[dict[str, Any]] = []

    with client_of(server) as ours:
        theirs: Any = R2StorageService(make_settings(server.endpoint)).client
        for client in (ours, theirs):
            with pytest.raises((Refused, theirs.exceptions.ClientError)) as refused:
                client.complete_multipart_upload(**UPLOAD, MultipartUpload=PARTS)
            errors.append(refused.value.response)
        theirs.close()

    assert [error["Error"] for error in errors] == [{"Code": "InternalError", "Message": "a < b"}] * 2
    assert [error["ResponseMetadata"]["HTTPStatusCode"] for error in errors] == [500, 500]


NO_DOCUMENTS = {
    "nothing": document(""),
    "half of it": document(completed("<ETag>&quot;e-2&quot;</ETag>").rpartition("<")[0]),
    "fewer bytes than it says": document(completed(""))[:-5],
    "another end": document(completed("<ETag>e</ETag>").replace("</Complete", "</Other")),
    "text": document("it is done"),
    "too much": document(completed("<a></a>" * 20_000)),
}


@pytest.mark.parametrize("answer", NO_DOCUMENTS.values(), ids=NO_DOCUMENTS)
def test_half_a_document_is_no_answer(answer: bytes) -> None:
    """A document that does not come to its end tells nothing, and is never taken for a success."""
    with client_of(ScriptedServer(say(answer))) as client, pytest.raises(Unanswered):
        client.complete_multipart_upload(**UPLOAD, MultipartUpload=PARTS)


def test_an_upload_is_ended_without_a_document() -> None:
    """The answer to an abort has no body, and its connection is used again."""
    server = ScriptedServer(say(b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 204 No Content\r\n\r\n"))

    with client_of(server) as client:
        for _ in range(2):
            client.abort_multipart_upload(**UPLOAD)

    assert server.connections == 1


def test_other_parameters_are_refused() -> None:
    """A parameter that boto3 knows and this client does not is an error, and never left out in silence."""
    client = LeanClient("http://localhost:9", access_key_id="id", secret_access_key="secret")

    with pytest.raises(TypeError, match="takes no StorageClass"):
        client.create_multipart_upload(Bucket="bucket", Key="key", StorageClass="x")


@pytest.mark.anyio
@pytest.mark.parametrize(
    "text",
    [
        f"{XML}<Error><Code>InternalError</Code></Error>",
        completed("<ETag>").rpartition("</")[0],
        "<html>Sign in to use this network</html>",
        "",
    ],
    ids=["an error", "half of it", "a page", "nothing"],
)
async def test_a_whole_that_was_not_stored_is_never_acknowledged(
    server: R2Server, make_service: ServiceMaker, plane: str, text: str
) -> None:
    """On both planes an upload whose end was answered 200, and something else than success behind it, is asked again."""
    service = make_service(server.endpoint, data_plane=plane)
    wrong = Answer(200, {"Content-Type": "application/xml"}, text.encode())
    server.faults = [Fault("POST"), Fault("POST", answer=wrong)]
    content = bytes(range(256)) * (24 * 1024)

    await service.upload("key", content)

    assert server.objects["/bucket/key"].content == content
    assert server.uploads == {}


@pytest.mark.anyio
async def test_a_whole_that_is_never_stored_is_an_error(server: R2Server, make_service: ServiceMaker, plane: str) -> None:
    """Where every answer is an error behind a 200, the upload fails, and leaves no parts."""
    service = make_service(server.endpoint, data_plane=plane, retry_seconds=0.1)
    wrong = Answer(200, {}, b"<Error><Code>InternalError</Code></Error>")
    server.faults = [Fault("POST"), *(Fault("POST", answer=wrong) for _ in range(20))]

    with pytest.raises(BackendUnavailable, match="InternalError"):
        await service.upload("key", bytes(6 * MIB))

    assert (server.uploads, server.objects) == ({}, {})
