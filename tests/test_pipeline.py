"""What one image gives beyond its measures: warnings, and what is still needed."""

from __future__ import annotations

import numpy as np

from segmetry.pipeline import analyse
from segmetry.recipe import Recipe
from segmetry.types import Image

ARM = 7


def scene(*, crosses: int, disks: int, cut_crosses: int = 0) -> Image:
    """Return dark particles, all apart: crosses of five squares, then disks; more crosses that the frame cuts."""
    pixels = np.full((40 * (crosses + disks) + 40, 260), 180, np.uint8)
    rows, cols = np.indices(pixels.shape)
    for k in range(crosses + disks):
        row, col = 40 * k + 50, 60
        long, short = np.maximum(abs(rows - row), abs(cols - col)), np.minimum(abs(rows - row), abs(cols - col))
        cross = (long <= ARM + ARM // 2) & (short <= ARM // 2)
        pixels[cross if k < crosses else (rows - row) ** 2 + (cols - col) ** 2 <= 10**2] = 60
    for k in range(cut_crosses):
        col = 40 * k + 30
        pixels[: 2 * ARM, col - ARM // 2 : col + ARM // 2 + 1] = 60
        pixels[ARM // 2 : ARM // 2 + ARM, col - ARM - ARM // 2 : col + ARM + ARM // 2 + 1] = 60
    return Image(pixels)


def ragged(image: Image, method: str = "threshold", **changes) -> list[str]:
    options = {"value": 120, "split": False} if method == "threshold" else {}
    result = analyse(image, Recipe.build(method, options={"polarity": "dark"} | options, scale="none", **changes))
    assert len(result.table) > 0
    return [note for note in result.notes if "ragged" in note]


def test_ragged_outlines_are_a_warning():
    """A cross of five squares of side a has the area 5 a^2; its hull is the square of side 3 a without four triangles.

    Their legs are a + 1/2, since a hull runs through the middles of the sides of pixels.
    """
    solidity = 5 * ARM**2 / ((3 * ARM) ** 2 - 2 * (ARM + 0.5) ** 2)
    (note,) = ragged(scene(crosses=3, disks=2))
    assert note.startswith(f"WARNING: outlines are ragged or concave (median solidity {solidity:.2f}): ")
    assert note.endswith("look at the overlay.")


def test_smooth_outlines_are_no_warning():
    assert ragged(scene(crosses=2, disks=3)) == [], "the median, not the worst"
    assert ragged(scene(crosses=0, disks=5), "hybrid") == []


def test_only_particles_that_count_are_judged():
    assert len(ragged(scene(crosses=3, disks=0))) == 1
    assert ragged(scene(crosses=0, disks=3, cut_crosses=5)) == [], "the frame cuts five of eight: they do not count"


def test_without_solidity_or_particles_nothing_is_said():
    assert ragged(scene(crosses=3, disks=0), measures=("area",)) == []
    assert ragged(scene(crosses=0, disks=0, cut_crosses=3)) == [], "nothing counts"
