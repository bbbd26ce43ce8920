"""The word that all scores share: what a score is called, which way is better, and what it means."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Score:
    """One score of a family.

    Parameters
    ----------
    name : str
        The key in tables and JSON.
    best : {"high", "low", "zero"}
        Which value is better; ``"zero"`` for signed errors.
    meaning : str
        One line for help, report and docs.
    length_power : int
        Power of the unit of length: 1 for a distance, 0 for a ratio.
    least : float
        Smallest value that a score has whose best is high: -1 for a correlation.
    """

    name: str
    best: Literal["high", "low", "zero"]
    meaning: str
    length_power: int = 0
    least: float = 0.0

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value: no interval may leave them."""
        if self.best == "zero":
            return (-math.inf, math.inf)
        return (self.least, 1.0) if self.best == "high" else (0.0, math.inf)


def table_of(*rows: Score) -> dict[str, Score]:
    """Return scores by name."""
    return {row.name: row for row in rows}
