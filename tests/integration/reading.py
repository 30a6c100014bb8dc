"""Somebody who reads a page and does all of it: types the commands, writes the files, runs the code; imported by test_pages."""

from __future__ import annotations

import ast
import inspect
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import uv

from following import Block, Follower
from indiaai_core import Platform

__all__ = ["Reader", "can_be_tried", "free_port", "typed"]

GROUPS = re.compile(r"indiaai\.(?:layers|hooks|wrappers|migrations|storage|queue|database|notify)")
SECONDS = 60
SERVERS = ("uvicorn ", "indiaai worker ", "indiaai db relay")
SHOWN = ("text", "markdown", "ini", "json")  # pictures, logs, and what no program here reads
PIP = """#!/bin/sh
# Asks whether what a page says to install is here, and changes nothing: real installing is tested in environments of their own.
shift
exec {uv} pip install --quiet --dry-run --offline --no-index --python {python} "$@"
"""

APART = """
import ast, asyncio, inspect
from indiaai_core import Platform
async def main():
    async with Platform():
        found = eval(compile({source!r}, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {{}})
        if inspect.iscoroutine(found):
            await found
asyncio.run(main())
"""


def typed(block: Block) -> list[tuple[str, str]]:
    """Return the commands of a block, each with what the page shows of its output."""
    if "$ " not in block.text:
        joined = re.sub(r"\\\n\s*", " ", block.text)
        return [(line, "") for line in joined.splitlines() if line.strip()]
    return re.findall(r"^\$ (.+)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE)


def can_be_tried(block: Block) -> bool:
    """Tell whether there is a way of trying a block."""
    return block.kind in ("python", "sh", "console", "toml", "diff", *SHOWN)


class Reader:
    """Follows one page in an empty folder.

    Attributes:
        terminal: What commands are typed into.
        names: What the page's Python has defined.
    """

    def __init__(
        self, terminal: Follower, *, stand_ins: Mapping[str, str], skipped: Mapping[str, str], is_apart: bool = False
    ) -> None:
        """Begin at the top.

        Args:
            terminal: A terminal in the empty folder.
            stand_ins: What is typed in place of what the page has, such as an address that is nobody's.
            skipped: Commands that are not typed, by patterns.
            is_apart: Whether Python is run by another process, at the end, and not in this one: where it needs packages
                that are in the terminal's reach alone.
        """
        self._is_apart, self._program = is_apart, list[str]()
        self.terminal, self.names = terminal, dict[str, Any]()
        self._stand_ins, self._skipped = stand_ins, skipped
        self._servers: list[subprocess.Popen[bytes]] = []
        self._gap = ""
        self._tests: list[str] = []
        programs = terminal.home / ".programs"
        programs.mkdir()
        (programs / "pip").write_text(PIP.format(uv=uv.find_uv_bin(), python=sys.executable), "utf-8")
        (programs / "pip").chmod(0o755)

    async def read(self, page: Iterable[Block]) -> None:
        """Do what every block says, from the first to the last."""
        for shown in page:
            block = replace(shown, text=self._real(shown.text))
            if block.kind == "toml":
                self._check_project(block)
            elif block.kind == "json":
                json.loads(block.text)
            elif block.kind == "diff":
                self._change_settings(block.text)
            elif block.kind in ("sh", "console"):
                for command, printed in typed(block):
                    self._type(command, printed)
            elif block.kind == "python":
                await self._python(block)
            elif block.name:
                self.terminal.write(block.name, block.text)

    async def do(self, scene: str) -> None:
        """Run Python of the test's own, with what the page has defined; commands where it is none."""
        if not scene:
            return
        try:
            ast.parse(scene)
        except SyntaxError:
            self.terminal.run(f"set -a\n{self._real(scene)}")
        else:
            await self._execute(self._real(scene))

    def finish(self, tests: str = "") -> None:
        """Run the page's tests, with those that are given beside them, and end what it started."""
        if self._program:
            self.terminal.write("program.py", APART.format(source="\n".join(self._program)))
            self.terminal.run("python program.py")
        if self._tests:
            self.terminal.write("test_page.py", "\n".join([*self._tests, tests]))
            self.terminal.run("python -m pytest -q -p no:cacheprovider test_page.py")
        for process in self._servers:
            process.send_signal(signal.SIGTERM)
            assert process.wait(SECONDS) in (0, -signal.SIGTERM), process.args

    def close(self) -> None:
        """Kill what is left, and forget the page's modules: the next page may have others of the same names."""
        for process in self._servers:
            process.kill()
            process.wait()
        for name, module in list(sys.modules.items()):
            if (getattr(module, "__file__", None) or "").startswith(f"{self.terminal.home}{os.sep}"):
                del sys.modules[name]

    def _real(self, text: str) -> str:
        for shown, real in self._stand_ins.items():
            text = text.replace(shown, real)
        return text

    def _check_project(self, block: Block) -> None:
        groups = tomllib.loads(block.text).get("project", {}).get("entry-points", {})
        assert [group for group in groups if not GROUPS.fullmatch(group)] == []
        if block.name:
            self.terminal.write(block.name, block.text)

    def _change_settings(self, change: str) -> None:
        # As somebody does who has them in `.env`, and nowhere else; one that is taken out need not have been there, where a
        # default did, and one that stays is there.
        path = self.terminal.folder / ".env"
        kept = path.read_text("utf-8").splitlines() if path.exists() else []
        out = [line[1:] for line in change.splitlines() if line.startswith(("-", " "))]
        added = [line[1:] for line in change.splitlines() if line.startswith(("+", " "))]
        self.terminal.run("unset " + " ".join(line.partition("=")[0] for line in [*out, *added]))
        path.write_text("\n".join([*(line for line in kept if line not in out), *added, ""]), "utf-8")

    def _type(self, command: str, shown: str) -> None:
        command = command.partition(" # ")[0].strip().replace("…", self._gap)
        if any(re.fullmatch(pattern, command) for pattern in self._skipped):
            return
        if command.startswith(SERVERS):
            self._serve(command)
        elif shown.strip():
            self._compare(command, shown)
        else:
            # Its time is short on purpose; who has a busy machine asks again, and a fault is there then, too.
            again = f" || {command}" if command == "indiaai check" else ""
            self.terminal.run(f"set -a\n{command}{again}")

    def _compare(self, command: str, shown: str) -> None:
        # How a table is aligned is no matter; what a worker has still to do is waited for.
        parts = (re.escape(" ".join(part.split())).replace(r"\ ", r"\s+") for part in shown.split("…"))
        pattern = "(.*?)".join(parts)
        deadline = time.monotonic() + SECONDS
        while True:
            printed = self.terminal.run(f"{command} || true")
            found = re.search(pattern, printed, re.DOTALL)
            if found or not command.startswith("curl") or time.monotonic() > deadline:
                break
            time.sleep(0.1)
        assert found, f"$ {command}\n{printed}\nexpected: {shown}"
        self._gap = next(iter(found.groups()), self._gap)

    def _serve(self, command: str) -> None:
        for earlier in self._servers:
            if command.startswith("uvicorn") and "uvicorn" in str(earlier.args):  # on the same port
                earlier.terminate()
                earlier.wait(SECONDS)
        log = self.terminal.home / f"server-{len(self._servers)}.log"
        with log.open("wb") as output:
            variables = self.terminal.exported()
            words = [word for word in shlex.split(command) if word != "--reload"]  # it would watch the whole folder
            process = subprocess.Popen(words, cwd=self.terminal.folder, env=variables, stdout=output, stderr=output)
        self._servers.append(process)
        deadline = time.monotonic() + SECONDS
        while not re.search(r"Uvicorn running on|Working |elay", log.read_text("utf-8")):
            assert process.poll() is None, log.read_text("utf-8")
            assert time.monotonic() < deadline, f"{command}\n{log.read_text('utf-8')}"
            time.sleep(0.05)

    async def _python(self, block: Block) -> None:
        if block.name:
            self.terminal.write(block.name, block.text)
        if block.name.startswith("test_"):
            self.terminal.run(f"python -m pytest -q -p no:cacheprovider {block.name}")
        elif block.name and "/" not in block.name:
            self.terminal.run(f"python {block.name}")
        elif "import pytest" in block.text:
            self._tests.append(block.text)
        elif "asyncio.run(" in block.text:
            self.terminal.write("program.py", block.text)
            self.terminal.run("python program.py")
        elif not block.name:
            await self._execute(block.text)

    async def _execute(self, source: str) -> None:
        if self._is_apart:
            self._program.append(source)
            return
        code = compile(source, "page", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT, dont_inherit=True)
        with self._here():
            async with Platform():
                found = eval(code, self.names)  # noqa: S307 - our own page
                if inspect.iscoroutine(found):
                    await found

    @contextmanager
    def _here(self) -> Iterator[None]:
        folder, variables, places = Path.cwd(), dict(os.environ), list(sys.path)
        try:
            os.chdir(self.terminal.folder)
            os.environ.clear()
            os.environ.update(self.terminal.exported())
            sys.path.insert(0, f"{self.terminal.folder}")
            yield
        finally:
            os.chdir(folder)
            os.environ.clear()
            os.environ.update(variables)
            sys.path[:] = places


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
