"""The servers that the S3 contenders meet: rclone's, a sink that keeps nothing, and a long line before either.

Imported by `storage_r2`. Each is a process on a free port of the loopback, ended with the block that started it.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

__all__ = ["ACCESS_KEY", "BUCKET", "SECRET_KEY", "Certificate", "distant", "rclone", "sink"]

ACCESS_KEY = "0123456789abcdef0123456789abcdef"
SECRET_KEY = "benchmarks-0123456789abcdef-benchmarks"  # noqa: S105 - the key of a server that lives for a minute
BUCKET = "bench"
START_SECONDS = 30
HERE = Path(__file__).parent


class Certificate:
    """A certificate for the loopback, and the authority that its clients need to trust."""

    def __init__(self, folder: Path) -> None:
        """Make them, as files in the folder."""
        authority = trustme.CA()
        own = authority.issue_cert("localhost", "127.0.0.1")
        self.ca_file, self.chain_file, self.key_file = folder / "ca.pem", folder / "chain.pem", folder / "key.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        own.private_key_pem.write_to_path(str(self.key_file))
        for number, blob in enumerate(own.cert_chain_pems):
            blob.write_to_path(str(self.chain_file), append=number > 0)


@contextmanager
def rclone(folder: Path, certificate: Certificate | None = None) -> Iterator[str]:
    """Serve a folder as S3, buckets being its folders, and give the endpoint."""
    (folder / BUCKET).mkdir(parents=True, exist_ok=True)
    program = shutil.which("rclone", path=sysconfig.get_path("scripts")) or "rclone"
    command = [program, "serve", "s3", "--config", str(folder / "none"), "--auth-key", f"{ACCESS_KEY},{SECRET_KEY}"]
    if certificate:
        command += ["--cert", str(certificate.chain_file), "--key", str(certificate.key_file)]
    port = _free_port()
    with _serving([*command, "--addr", f"127.0.0.1:{port}", str(folder)], port):
        yield f"{'https' if certificate else 'http'}://127.0.0.1:{port}"


@contextmanager
def sink(certificate: Certificate | None = None) -> Iterator[str]:
    """Serve an S3 that takes and gives any amount and keeps none of it, and give the endpoint."""
    port = _free_port()
    files = [str(certificate.chain_file), str(certificate.key_file)] if certificate else []
    with _serving([sys.executable, str(HERE / "sink.py"), str(port), *files], port):
        yield f"http{'s' if certificate else ''}://127.0.0.1:{port}"


@contextmanager
def distant(endpoint: str, round_trip_ms: float) -> Iterator[str]:
    """Give an endpoint behind which the other one is that far away."""
    port, target = _free_port(), endpoint.rpartition(":")[2]
    with _serving([sys.executable, str(HERE / "line.py"), str(port), target, str(round_trip_ms)], port):
        yield f"http://127.0.0.1:{port}"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _serving(command: list[str], port: int) -> Iterator[None]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _wait_for(process, port)
        yield
    finally:
        process.terminate()
        process.wait(10)


def _wait_for(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"{process.args!r}: did not start (exit status {process.poll()})")
