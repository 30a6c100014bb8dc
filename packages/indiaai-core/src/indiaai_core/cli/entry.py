"""What the script `indiaai` calls: it says what to install where the extra `[cli]` is missing."""

from __future__ import annotations

import os
import sys

from indiaai_core.cli.version import print_version

__all__ = ["main"]


def main() -> None:
    """Run the command line on the process's arguments and exit with its status.

    Who reads what it prints may stop to, as `head` does: that is no error, and nothing is said of it.
    """
    try:
        try:
            _run()
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
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
    build_app()()
