"""OpenStack Swift with its S3 interface: a production store on one machine, without root; imported by fixtures.

Four processes (account, container, object and proxy server) on one device, which is a folder. It is installed into an
environment of its own, for it needs other versions than the tests do.
"""

from __future__ import annotations

import http.client
import os
import pwd
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

__all__ = ["ACCESS_KEY_ID", "REQUIREMENTS", "SECRET", "running_swift"]

REQUIREMENTS = ["swift>=2.35", "pyeclib>=1.7"]

ACCESS_KEY_ID = "tests:user"
SECRET = "c0ffee00c0ffee00"

START_SECONDS = 60

_SWIFT_CONF = """\
[swift-hash]
swift_hash_path_prefix = before
swift_hash_path_suffix = after
[storage-policy:0]
name = only
default = yes
"""
_DEFAULTS = """\
[DEFAULT]
bind_ip = 127.0.0.1
bind_port = {port}
workers = 0
user = {user}
swift_dir = {folder}
devices = {folder}/devices
mount_check = false
disable_fallocate = true
log_level = ERROR
"""
_STORAGE_CONF = """\
[pipeline:main]
pipeline = {kind}-server
[app:{kind}-server]
use = egg:swift#{kind}
"""
_FILTERS: dict[str, dict[str, object]] = {
    "catch_errors": {},
    "gatekeeper": {},
    "cache": {"use": "egg:swift#memcache", "memcache_servers": "127.0.0.1:1"},
    "listing_formats": {},
    "s3api": {"location": "auto", "dns_compliant_bucket_names": "yes", "min_segment_size": 5 * 1024 * 1024},
    "tempauth": {"_".join(["user", *ACCESS_KEY_ID.split(":")]): f"{SECRET} .admin"},
    "copy": {},
    "slo": {},
    "dlo": {},
}
_RINGS = """\
import sys
from swift.common.ring import RingBuilder
for argument in sys.argv[1:]:
    path, _, port = argument.rpartition(":")
    builder = RingBuilder(4, 1, 0)
    builder.add_dev({"region": 1, "zone": 1, "ip": "127.0.0.1", "port": int(port), "device": "d1", "weight": 1})
    builder.rebalance()
    builder.get_ring().save(path)
"""
_PROXY = """\
[app:proxy-server]
use = egg:swift#proxy
allow_account_management = true
account_autocreate = true
"""


@contextmanager
def running_swift(programs: Path, folder: Path) -> Iterator[str]:
    """Serve within the block.

    Args:
        programs: The folder with Swift's programs.
        folder: Where everything is kept: an empty folder on a file system with extended attributes.

    Yields:
        The endpoint.
    """
    ports = _free_ports(4)
    kinds: dict[str, int] = dict(zip(("account", "container", "object"), ports[1:], strict=True))
    (folder / "devices" / "d1").mkdir(parents=True)
    (folder / "swift.conf").write_text(_SWIFT_CONF)
    _make_rings(programs, folder, kinds)
    for kind, port in kinds.items():
        _write(folder, kind, port, _STORAGE_CONF.format(kind=kind))
    _write(folder, "proxy", ports[0], _proxy_conf())
    with ExitStack() as stack:
        for kind in (*kinds, "proxy"):
            process = stack.enter_context(_started(programs / f"swift-{kind}-server", folder / f"{kind}.conf"))
        _wait_for(ports[0], process, folder / "proxy.log")
        yield f"http://127.0.0.1:{ports[0]}"


def _free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.socket()) for _ in range(count)]
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [probe.getsockname()[1] for probe in probes]


def _make_rings(programs: Path, folder: Path, ports: Mapping[str, int]) -> None:
    arguments = [f"{folder}/{kind}.ring.gz:{port}" for kind, port in ports.items()]
    run = subprocess.run([str(programs / "python"), "-c", _RINGS, *arguments], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


def _write(folder: Path, kind: str, port: int, text: str) -> None:
    user = pwd.getpwuid(os.getuid()).pw_name
    (folder / f"{kind}.conf").write_text(_DEFAULTS.format(port=port, user=user, folder=folder) + text)


def _proxy_conf() -> str:
    sections = [f"[pipeline:main]\npipeline = {' '.join(_FILTERS)} proxy-server\n"]
    for name, options in _FILTERS.items():
        lines = {"use": f"egg:swift#{name}", **options}
        sections.append(f"[filter:{name}]\n" + "".join(f"{key} = {value}\n" for key, value in lines.items()))
    return "".join(sections) + _PROXY


@contextmanager
def _started(program: Path, configuration: Path) -> Iterator[subprocess.Popen[bytes]]:
    with configuration.with_suffix(".log").open("wb") as log:
        process = subprocess.Popen([str(program), str(configuration)], stdout=log, stderr=log, start_new_session=True)
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _wait_for(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            if connection.getresponse().status < 500:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.1)  # between two looks, of which there are a bounded number
    raise RuntimeError(f"Swift did not start: {log.read_text()[-2000:]}")
