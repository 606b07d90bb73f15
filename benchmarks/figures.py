"""Compute comparable numbers from measurements: medians over rounds, their spread, and ratios."""

import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles


@dataclass
class Series:
    """The measurements of one quantity, one for each round."""

    values: list[float] = field(default_factory=list[float])

    @property
    def median(self) -> float:
        """The median of the rounds."""
        return median(self.values)

    @property
    def quartiles(self) -> tuple[float, float]:
        """The lower and the upper quartile, which single outliers hardly change."""
        if len(self.values) < 2:
            return self.values[0], self.values[0]
        low, _, high = quantiles(self.values, n=4, method="inclusive")
        return low, high

    @property
    def deviation(self) -> float:
        """Half the distance between the quartiles, relative to the median."""
        low, high = self.quartiles
        return (high - low) / 2 / self.median

    def ratio(self, other: "Series") -> float:
        """Return this as a multiple of another series: the median of the ratios within each round.

        A temporary slowdown of the machine affects both values of a round, because they are measured in sequence.
        """
        return self.over(other).median

    def over(self, other: "Series") -> "Series":
        """Return the ratios within each round."""
        return Series([own / others for own, others in zip(self.values, other.values, strict=True)])


def table(head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 0) -> str:
    """Format a table; the first `words` columns are aligned to the left, the others to the right."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = [
        [cell.ljust(width) for cell, width in zip(row[:words], widths, strict=False)]
        + [cell.rjust(width) for cell, width in zip(row[words:], widths[words:], strict=True)]
        for row in [head, *rows]
    ]
    return "\n".join(map("  ".join, lines))


def machine() -> str:
    """Return the number of processors and the version of Python."""
    return f"{os.cpu_count()} processors, {platform.python_implementation()} {platform.python_version()}"
