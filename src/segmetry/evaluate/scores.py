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
    least : float, optional
        Smallest value: 0 where nothing is said and high or low is best; -1 for a correlation or a relative error.
    """

    name: str
    best: Literal["high", "low", "zero"]
    meaning: str
    length_power: int = 0
    least: float | None = None

    @property
    def bounds(self) -> tuple[float, float]:
        """Smallest and largest value: no interval may leave them."""
        least = self.least if self.least is not None else -math.inf if self.best == "zero" else 0.0
        return (least, 1.0 if self.best == "high" else math.inf)


def table_of(*rows: Score) -> dict[str, Score]:
    """Return scores by name."""
    return {row.name: row for row in rows}


NAMES = {
    "ap50": "AP50", "ap75": "AP75", "ap90": "AP90", "ap": "AP", "map": "mAP", "f1": "F1", "pq": "PQ", "sq": "SQ",
    "rq": "RQ", "iou": "IoU", "mean_iou": "mean IoU", "dice": "Dice", "mean_dice": "mean Dice", "jaccard": "Jaccard",
    "mcc": "MCC", "mae": "MAE", "roc_auc": "ROC AUC", "pr_auc": "PR AUC", "ari": "ARI", "cldice": "clDice",
    "boundary_f1": "boundary F1", "surface_dice": "surface Dice", "hausdorff": "Hausdorff distance",
    "hausdorff95": "95 % Hausdorff distance", "vi_split": "VI, split", "vi_merge": "VI, merge",
}  # fmt: skip
"""Scores whose usual name is not just their key with spaces."""


def score_name(key: str) -> str:
    """Return what a score is called on axes and in tables.

    Examples
    --------
    >>> score_name("instance.ap50"), score_name("instance_pooled.f1"), score_name("physical.d50_error")
    ('AP50', 'F1 (pooled)', 'D50 error')
    >>> score_name("published_emps.ap50"), score_name("semantic.iou[particle]")
    ('AP50 (published EMPS)', 'IoU, particle')
    """
    family, _, name = key.partition(".")
    name, _, part = name.rstrip("]").partition("[")  # such as a class
    words = NAMES.get(name, name.replace("_", " "))
    head, space, rest = words.partition(" ")
    if head[:1] == "d" and head[1:].isdecimal():
        words = f"{head.upper()}{space}{rest}"
    words = f"{words}, {part}" if part else words
    aside = "pooled" if family.endswith("_pooled") else "published EMPS" if family == "published_emps" else ""
    return f"{words} ({aside})" if aside else words
