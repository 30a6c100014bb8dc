"""The figures of a run: kept by phase, cell, contender, round and turn, and asked for as medians and paired ratios.

Imported by the storage benchmarks. A ratio is taken inside each turn, where both sides met the same machine, and the median
of those is given: the machine's mood cancels out.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

__all__ = ["Samples"]

Figures = Mapping[str, Any]


class Samples:
    """What was measured so far, and what could not be."""

    def __init__(self) -> None:
        """Hold nothing yet."""
        self._rounds: dict[str, int] = defaultdict(int)
        self._figures: dict[tuple[str, str, str], dict[tuple[int, int], Figures]] = defaultdict(dict)
        self._notes: dict[str, dict[str, None]] = defaultdict(dict)

    def add(self, phase: str, cell: str, *, contender: str, figures: Figures, turn: int = 0) -> None:
        """Keep a contender's figures of a turn of the current round."""
        self._figures[phase, cell, contender][self._rounds[phase], turn] = figures

    def end_round(self, phase: str) -> None:
        """Begin the next round of a phase."""
        self._rounds[phase] += 1

    def rounds(self, phase: str) -> int:
        """Return how many rounds of a phase there were."""
        return self._rounds[phase]

    def note(self, phase: str, text: str) -> None:
        """Keep what went wrong; the same words once."""
        self._notes[phase][text] = None

    def notes(self, phase: str) -> list[str]:
        """Return what went wrong in a phase."""
        return list(self._notes[phase])

    def contenders(self, phase: str, *, among: Iterable[str]) -> list[str]:
        """Return those of the contenders that have figures in a phase."""
        found = {contender for known, _, contender in self._figures if known == phase}
        return [name for name in among if name in found]

    def median(self, phase: str, cell: str, *, contender: str, field: str) -> float | None:
        """Return the median over all turns; None where nothing was measured."""
        values = [figures[field] for figures in self._of(phase, cell, contender).values() if field in figures]
        return statistics.median(values) if values else None

    def ratio(self, phase: str, cell: str, *, contender: str, peer: str, field: str, peer_cell: str = "") -> float | None:
        """Return the median over all turns of the contender's figure divided by the peer's in the same turn.

        Args:
            phase: The phase.
            cell: The cell.
            contender: Whose figure is divided.
            peer: Whose figure it is divided by.
            field: Which figure.
            peer_cell: The peer's cell, where it is another one.
        """
        ours, theirs = self._of(phase, cell, contender), self._of(phase, peer_cell or cell, peer)
        pairs = [(ours[number], theirs[number]) for number in ours.keys() & theirs.keys()]
        values = [mine[field] / other[field] for mine, other in pairs if field in mine and other.get(field)]
        return statistics.median(values) if values else None

    def best(self, phase: str, cell: str, *, among: Iterable[str], field: str) -> str | None:
        """Return which contender has the highest median."""
        medians = {name: self.median(phase, cell, contender=name, field=field) for name in among}
        known = {name: value for name, value in medians.items() if value is not None}
        return max(known, key=lambda name: known[name]) if known else None

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file."""
        figures = {" | ".join(key): list(rounds.values()) for key, rounds in self._figures.items()}
        return {"figures": figures, "notes": {phase: list(notes) for phase, notes in self._notes.items()}}

    def _of(self, phase: str, cell: str, contender: str) -> Mapping[tuple[int, int], Figures]:
        return self._figures.get((phase, cell, contender), {})
