"""From measurements to numbers that can be compared: medians over rounds, their spread, and ratios."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.wrk import Measured


@dataclass
class Series:
    """The measurements of one thing, a round each."""

    rounds: list[Measured] = field(default_factory=list[Measured])

    def median(self, metric: str) -> float:
        """Return a metric's median over the rounds."""
        return median(self.values(metric))

    def spread(self, metric: str) -> float:
        """Return half of the way from a metric's lowest value to its highest, as a part of its median."""
        values = self.values(metric)
        return (max(values) - min(values)) / 2 / median(values)

    def ratio(self, other: "Series", metric: str) -> float:
        """Return a metric as a multiple of another series': the median of the ratios within each round.

        What slows the machine down for a while slows both, for they are measured one right after the other.
        """
        pairs = zip(self.values(metric), other.values(metric), strict=True)
        return median(own / others for own, others in pairs)

    def values(self, metric: str) -> list[float]:
        """Return a metric in each round."""
        return [getattr(measured, metric) for measured in self.rounds]


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Lay out cells in columns, aligned to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in [head, *rows]]
    return "\n".join(lines)


def machine() -> str:
    """Say what the numbers were measured on, as far as it matters to them."""
    return f"{os.cpu_count()} processors, {platform.python_implementation()} {platform.python_version()}"
