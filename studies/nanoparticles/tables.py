"""The tables of the study, together and as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from . import analysis


@dataclass(frozen=True, eq=False)
class Tables:
    """One row per image and method; per true particle and method; per measured diameter; per pooled distribution; and
    per class of diameter and method."""

    images: pd.DataFrame
    objects: pd.DataFrame
    diameters: pd.DataFrame
    sizes: pd.DataFrame
    iou_by_size: pd.DataFrame

    @classmethod
    def of(cls, rows: Sequence[dict[str, Any]]) -> Tables:
        """Return the tables of what was found."""
        diameters = analysis.diameter_table(rows)
        objects = analysis.object_table(rows)
        return cls(
            analysis.image_table(rows),
            objects,
            diameters,
            analysis.pooled_sizes(diameters),
            analysis.iou_by_size(objects),
        )

    def write(self, folder: Path) -> None:
        """Write the tables as CSV; times differ from run to run, so they are last and rounded."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in ("images", "objects", "diameters", "sizes", "iou_by_size"):
            table = getattr(self, name)
            table.to_csv(folder / f"{name}.csv", index=False, float_format="%.6g", lineterminator="\n")
