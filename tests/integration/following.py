"""Follows a page as its reader would: writes the files it shows, runs the commands it shows; imported by the tests of pages."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

__all__ = ["Block", "Follower", "blocks"]

BLOCK = re.compile(
    r"^```(?P<kind>[a-z]+)\n(?:(?:# |<!-- )(?P<name>[\w./-]+\.[a-z]+)(?: -->)?\n)?(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
IN_A_SECOND_TERMINAL = "# in a second terminal\n"
BLOCK_SECONDS = 600


@dataclass(frozen=True)
class Block:
    """A block of code on a page.

    Attributes:
        kind: The language: `sh` is run, `console` is run and compared with what it shows, one with a name is a file.
        name: The path of the file that it is a piece of; empty for none.
        text: What is in it, without the line with the name.
        offset: Where on the page it begins.
    """

    kind: str
    name: str
    text: str
    offset: int


def blocks(page: str) -> Iterator[Block]:
    """Give the blocks of a page, from top to bottom."""
    for found in BLOCK.finditer(page):
        yield Block(found["kind"], found["name"] or "", found["text"], found.start())


@dataclass
class Follower:
    """Somebody at a terminal, who keeps what commands export and where they go to; a context manager.

    Attributes:
        home: The folder that the terminal opens in.
        variables: The variables that are set when it opens.
        written: The files of which a piece was written: another one is added to it.
    """

    home: Path
    variables: dict[str, str] = field(default_factory=dict)
    written: set[Path] = field(default_factory=set)
    _others: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def __enter__(self) -> Self:
        """Open the terminal."""
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR", "LANG") if name in os.environ}
        self._state.write_text(f"cd {self.home}\n")
        self._environment = {**kept, "PYTHONUTF8": "1", "COLUMNS": "300", **self.variables}
        return self

    def __exit__(self, *_: object) -> None:
        """End what runs in other terminals."""
        for process in self._others:
            process.kill()
            process.wait()

    @property
    def folder(self) -> Path:
        """Where the terminal is."""
        return Path(self.run("pwd").strip())

    def exported(self) -> dict[str, str]:
        """Return what is set in the terminal."""
        lines = self.run("env -0").split("\0")
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def write(self, name: str, text: str) -> None:
        """Write a file, or add the next piece to it."""
        path = self.folder / name
        before = f"{path.read_text('utf-8').rstrip()}\n\n\n" if path in self.written else ""
        path.write_text(before + text, "utf-8")
        self.written.add(path)

    def run(self, commands: str) -> str:
        """Run commands, and return what they print.

        Raises:
            AssertionError: One of them failed.
        """
        status, printed = self._run(f"set -e\n{commands}")
        assert status == 0, f"{commands}\n{printed}"
        return printed

    def compare(self, session: str) -> None:
        """Run what stands behind each `$`, and hold what it prints against the lines below, in which `…` is anything.

        Raises:
            AssertionError: It prints something else.
        """
        for command, shown in re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", session, re.MULTILINE):
            _, printed = self._run(command)
            pattern = ".*".join(map(re.escape, shown.strip().split("…")))
            assert re.search(pattern, printed, re.DOTALL), f"$ {command}\n{printed}\nexpected: {shown}"

    def serve(self, command: str, *, port: int) -> None:
        """Run a server in another terminal until the end, and wait until it listens."""
        script = f". {self._state}\nexec {command}"
        started = subprocess.Popen(
            ["bash", "-c", script], env=self._environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._others.append(started)
        deadline = time.monotonic() + 60
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return
            assert started.poll() is None, f"{command} ended"
            assert time.monotonic() < deadline, f"{command} does not listen"
            time.sleep(0.1)

    @property
    def _state(self) -> Path:
        return self.home / ".terminal"

    def _run(self, commands: str) -> tuple[int, str]:
        # What it leaves behind, variables and folder, is what the next commands begin with.
        script = f". {self._state}\n{commands}\n{{ export -p; echo cd \"'$PWD'\"; }} > {self._state}\n"
        run = subprocess.run(
            [shutil.which("bash") or "bash", "-c", script],
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=BLOCK_SECONDS,
            check=False,
        )
        return run.returncode, run.stdout
