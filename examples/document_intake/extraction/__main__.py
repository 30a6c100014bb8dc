"""`python -m extraction FILE [KIND]`: read one file within limits, and say what is found as lines of JSON.

A file comes from a stranger and may be built to hang or to swell its reader. So it is read here, in a process of its own,
which can be ended, and takes what it has taken with it.
"""

from __future__ import annotations

import json
import logging
import sys
from dataclasses import asdict
from pathlib import Path

from extraction.content import Unreadable
from extraction.kind import Kind
from extraction.limits import confine_this_process
from extraction.reading import read_file


def main(path: str, kind: str = "") -> None:
    """Print one line for each step of progress and one at the end: `content`, or `unreadable` with the reason."""
    confine_this_process()
    logging.disable()  # pypdf remarks on every flaw it forgives
    try:
        content = read_file(Path(path), Kind(kind) if kind else None, _Progress())
    except Unreadable as error:
        _say(unreadable=str(error))
    else:
        _say(content=asdict(content))


class _Progress:
    """Says how far the reading is, once for each twentieth."""

    def __init__(self) -> None:
        self._said = 0

    def __call__(self, fraction: float) -> None:
        if int(fraction * 20) > self._said:
            self._said = int(fraction * 20)
            _say(progress=fraction)


def _say(**line: object) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
