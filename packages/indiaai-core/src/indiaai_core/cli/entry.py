"""What the script `indiaai` calls: it says what to install where the extra `[cli]` is missing."""

from __future__ import annotations

import errno
import os
import sys

from indiaai_core.cli.version import print_version

__all__ = ["main"]


INTERRUPTED = (130, 143)
"""The statuses of a command that SIGINT or SIGTERM ended: 128 and the signal's number, as shells count."""

UNPRINTED = (errno.ENOSPC, errno.EFBIG, errno.EIO)
"""What writing to the standard output fails with, on a full disk or a broken one."""

leave = os._exit
"""Ends the process after a signal: the interpreter's own end would wait for a thread that reads from a terminal."""


def main() -> None:
    """Run the command line on the process's arguments and exit with its status.

    Who reads what it prints may stop to, as `head` does: that is no error, and nothing is said of it. Where it cannot be
    printed, for a full disk, that is said.
    """
    sys.stdout = sys.stdout or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - None where it was closed
    sys.stderr = sys.stderr or open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115 - for the whole process
    try:
        try:
            _run()
        except SystemExit as end:
            if end.code in INTERRUPTED:
                sys.stdout.flush()
                leave(end.code)
            raise
        finally:
            sys.stdout.flush()
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            if error.errno not in UNPRINTED:
                raise
            sys.stderr.write(f"What is to be printed cannot be written: {error.strerror or error}.\n")
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the interpreter flushes once more at its end
        raise SystemExit(1) from None


def _run() -> None:
    if sys.argv[1:] in (["--version"], ["-V"]):  # answered without the 0.2 s that the commands' imports take
        print_version()
        return
    try:
        from indiaai_core.cli.app import build_app
    except ModuleNotFoundError as error:
        if error.name not in ("typer", "rich"):
            raise
        sys.stderr.write('The command line needs more than the core. Install it: pip install "indiaai-core[cli]"\n')
        raise SystemExit(2) from None
    from indiaai_core.errors import IndiaAIError

    try:
        build_app()()
    except IndiaAIError as error:  # which no command is there to say, such as a .env that cannot be read
        sys.stderr.write(f"{error}\n")
        raise SystemExit(1) from None
