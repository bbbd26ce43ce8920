"""Where the real labelled images are: the folder named by SEGMETRY_DATA, or ``../shared/data`` beside the checkout."""

from __future__ import annotations

import csv
import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def folder(name: str) -> Path | None:
    """Return the folder of one data set (``"emps"``), or None where it is not there."""
    base = Path(os.environ.get("SEGMETRY_DATA") or ROOT.parent / "shared" / "data")
    path = base / name
    return path if path.is_dir() else None


def emps_publications() -> dict[str, str]:
    """Return the publication (DOI) of each EMPS image id. Split and resample by it, or images of one paper leak."""
    path = folder("emps")
    if path is None:
        return {}
    with (path / "dois.csv").open(encoding="utf-8") as file:
        return {row["id"]: row["doi"] for row in csv.DictReader(file)}
