"""Real micrographs against readings by eye.

The table was read by one person who had not seen this reader's results; the reader was developed on other publications
only (those whose DOI has a SHA-256 that begins with an odd byte).

Measured on 160 images, 125 with a readable bar: first look 105 right, 20 not read, 0 wrong; after one round of general
mends for the kinds of those 20: 112 right (90 %), 13 not read, 0 wrong; after work on
drawn and development images only: again 112, 13 and 0. Never one invented in the 35 others.
The first figure is the honest forecast for new images; the aim of 95 % right is not met.
"""

from __future__ import annotations

import csv
import hashlib
from pathlib import Path

import cv2
import pytest

import realdata
from segmetry.io.scalebar import find_annotations
from segmetry.units import METRES

TABLE = Path(__file__).parents[1] / "data" / "emps_scale_bars.csv"


def truths() -> list[dict[str, str]]:
    with TABLE.open(encoding="utf-8") as file:
        return list(csv.DictReader(line for line in file if not line.startswith("#")))


def yes(text: str) -> bool:
    return text.strip().lower() in ("1", "true", "yes", "y")


def outcome(row: dict[str, str], folder: Path) -> str:
    """Return right, wrong or none for a readable bar, and invented or silent where there is nothing to read."""
    pixels = cv2.imread(str(folder / "images" / f"{row['id']}.png"), cv2.IMREAD_GRAYSCALE)
    bar = find_annotations(pixels).scale_bar
    if not (yes(row["has_bar"]) and yes(row["readable"])):
        return "silent" if bar is None else "invented"
    if bar is None:
        return "none"
    lengths = [float(row[name]) for name in ("length_px", "other_length_px") if row[name]]
    low, high = min(lengths), max(lengths)  # two where the print can be read either way: see the table's page
    same = bar.value * METRES[bar.unit] == pytest.approx(float(row["value"]) * METRES[row["unit"]], rel=1e-9)
    near = 0.98 * low - 1.5 <= bar.length_px <= 1.02 * high + 1.5
    return "right" if same and near else "wrong"


def test_the_table_is_of_publications_that_were_not_developed_on():
    publications = realdata.emps_publications()
    if not publications:
        pytest.skip("the EMPS images are not here")
    assert all(hashlib.sha256(publications[row["id"]].encode()).digest()[0] % 2 == 0 for row in truths())


@pytest.mark.slow
def test_bars_of_real_micrographs(emps):
    rows = truths()
    outcomes = {row["id"]: outcome(row, emps) for row in rows}
    counts = {name: list(outcomes.values()).count(name) for name in ("right", "none", "wrong", "silent", "invented")}
    print(counts, {k: v for k, v in outcomes.items() if v not in ("right", "silent")})
    readable = counts["right"] + counts["none"] + counts["wrong"]
    assert readable >= 40
    # What users rely on: a scale that is given is right.
    assert counts["wrong"] <= 0.01 * readable
    assert counts["invented"] == 0
