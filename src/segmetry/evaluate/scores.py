"""The word that all scores share: what a score is called, which way is better, and what it means."""

from __future__ import annotations

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
    """

    name: str
    best: Literal["high", "low", "zero"]
    meaning: str
    length_power: int = 0


def table_of(*rows: Score) -> dict[str, Score]:
    """Return scores by name."""
    return {row.name: row for row in rows}
