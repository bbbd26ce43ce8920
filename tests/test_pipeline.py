"""What one image gives beyond its measures: warnings, and what is still needed."""

from __future__ import annotations

import numpy as np

from segmetry.pipeline import analyse
from segmetry.recipe import Recipe
from segmetry.types import Calibration, Image

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


def test_the_summary_says_how_many_particles_a_precision_takes():
    """The interval's half-width shrinks with one over the root of the number: what the definition asks."""
    rng = np.random.default_rng(5)
    pixels = np.full((500, 500), 180, np.uint8)
    rows, cols = np.indices(pixels.shape)
    for k, radius in enumerate(rng.lognormal(np.log(9), 0.2, 64)):
        pixels[np.hypot(rows - 60 * (k // 8) - 40, cols - 60 * (k % 8) - 40) <= radius] = 60
    result = analyse(Image(pixels), Recipe.build("otsu", scale="none"))
    needed, d50 = result.summary()["needed"], result.estimates["d50"]
    half = (d50.high - d50.low) / 2 / d50.value
    assert d50.n == 64
    assert (needed["relative"], needed["note"]) == (0.05, "")
    assert half / np.sqrt(needed["total"] / 64) <= 0.05 < half / np.sqrt((needed["total"] - 1) / 64)
    assert needed["more"] == max(needed["total"] - 64, 0)


def test_a_precision_out_of_reach_is_null_with_the_reason():
    """A pixel size that is uncertain by 3 % (standard) leaves 5.9 % however many are counted."""
    image = scene(crosses=0, disks=5)
    calibration = Calibration((0.5, 0.5), "nm", 0.03, "user")
    result = analyse(image.replace(calibration=calibration), Recipe.build("otsu", scale="metadata"))
    needed = result.summary()["needed"]
    assert (needed["total"], needed["more"]) == (None, None)
    assert "counting more does not help" in needed["note"]
    nothing = analyse(Image(np.full((40, 50), 7, np.uint8))).summary()["needed"]
    assert (nothing["total"], nothing["more"]) == (None, None)
    assert nothing["note"]
