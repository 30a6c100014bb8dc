"""Prints what was measured: a table of medians, and beneath it each aim with the figure that answers it.

Imported by the storage benchmarks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from storage.samples import Samples

__all__ = ["Column", "Verdict", "median_columns", "median_of", "print_table", "print_verdicts", "ratio_columns"]

NAME_WIDTH = 26


@dataclass(frozen=True)
class Column:
    """One column: a heading, and what stands in it for a contender."""

    heading: str
    value: Callable[[str], float | None]
    digits: int = 0

    @property
    def width(self) -> int:
        """How wide the column is."""
        return max(len(self.heading) + 2, 9)

    def text(self, contender: str) -> str:
        """Return what stands in the contender's row."""
        value = self.value(contender)
        return f"{'–' if value is None else format(value, f',.{self.digits}f'):>{self.width}}"


@dataclass(frozen=True)
class Verdict:
    """An aim, and the figure measured for it."""

    aim: str
    measured: float | None
    at_least: float | None = None
    at_most: float | None = None
    against: str = ""

    def __str__(self) -> str:
        """Return the line that says whether the aim is reached."""
        limit = f"≥ {self.at_least:g}" if self.at_least is not None else f"≤ {self.at_most:g}"
        measured = "–" if self.measured is None else f"{self.measured:,.2f}"
        return f"  {self.answer:14}{self.aim:58}{measured:>12}   aim {limit}{self.against and f', against {self.against}'}"

    @property
    def answer(self) -> str:
        """Whether the aim is reached."""
        if self.measured is None:
            return "not measured"
        is_reached = self.measured >= (self.at_least or 0) and (self.at_most is None or self.measured <= self.at_most)
        return "reached" if is_reached else "NOT REACHED"


def median_of(samples: Samples, phase: str, *, cell: str, field: str) -> Callable[[str], float | None]:
    """Return what gives a contender's median."""
    return lambda name: samples.median(phase, cell, contender=name, field=field)


def median_columns(
    samples: Samples, phase: str, *, cells: Iterable[str], field: str, digits: int = 0, unit: str = ""
) -> list[Column]:
    """Return a column for each cell, with the medians of a figure."""
    return [Column(f"{cell}{unit}", median_of(samples, phase, cell=cell, field=field), digits) for cell in cells]


def ratio_columns(samples: Samples, phase: str, *, cells: Iterable[str], peer: str) -> list[Column]:
    """Return a column for each cell, with the rates over the peer's."""

    def over(cell: str) -> Callable[[str], float | None]:
        return lambda name: samples.ratio(phase, cell, contender=name, peer=peer, field="rate")

    return [Column(cell, over(cell), 2) for cell in cells]


def print_table(title: str, *, rows: Iterable[str], columns: Sequence[Column]) -> None:
    """Print one table; a dash stands where nothing was measured."""
    print(f"\n{title}\n{'':{NAME_WIDTH}}{''.join(f'{column.heading:>{column.width}}' for column in columns)}")
    for name in rows:
        print(f"{name:{NAME_WIDTH}}{''.join(column.text(name) for column in columns)}")


def print_verdicts(samples: Samples, phase: str, verdicts: Iterable[Verdict]) -> None:
    """Print the aims of a phase, then what could not be measured in it."""
    for verdict in verdicts:
        print(verdict)
    for note in samples.notes(phase):
        print(f"  not measured: {note}")
