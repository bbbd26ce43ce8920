"""What stands over all images: one unit, nothing lost."""

import csv

import numpy as np
import pandas as pd
import pytest

from segmetry.gather import join_tables, pool
from segmetry.measure import distribution, measure
from segmetry.recipe import Recipe
from segmetry.types import Calibration


def image_of(folder, radii, spacing, unit, *, rel=0.0, ndim=2):
    """Return the summary and the table of an image of disks (or balls) of known radii (px)."""
    side = 60
    labels = np.zeros((side,) * (ndim - 1) + (side * len(radii),), np.int32)
    for k, radius in enumerate(radii):
        axes = np.ogrid[tuple(slice(n) for n in labels.shape)]
        centre = [side / 2] * (ndim - 1) + [side * (k + 0.5)]
        labels[sum((a - c) ** 2 for a, c in zip(axes, centre)) < radius**2] = k + 1
    calibration = Calibration((spacing,) * ndim, unit) if unit != "px" else Calibration.unknown(ndim)
    size = {
        "value": spacing if unit != "px" else None,
        "spacing": [spacing] * ndim if unit != "px" else None,
        "unit": unit,
        "rel_uncertainty": rel,
    }
    return {"folder": folder, "pixel_size": size}, measure(labels, calibration=calibration)


def test_images_of_different_units_pool_in_one():
    radii = [8, 9, 10, 11, 12]
    nm, um = image_of("a", radii, 2.0, "nm"), image_of("b", radii, 0.002, "µm")
    pooled = pool([nm, um, nm], Recipe())
    assert pooled.estimates["d50"].unit == "nm"
    alone = distribution(nm[1])
    assert pooled.estimates["mean"].value == pytest.approx(alone.estimates["mean"].value, rel=1e-9)
    assert pooled.distributions["volume"].n == 15
    assert pooled.notes == ()


def test_volumes_pool_too():
    one = image_of("a", [8, 9, 10], 0.5, "µm", ndim=3)
    pooled = pool([one, one], Recipe())
    assert pooled.estimates["mean"].value == pytest.approx(9.0, rel=0.02)  # diameters 8, 9 and 10 µm


def test_images_without_pixel_size_are_left_out_and_said():
    known, unknown = image_of("a", [9, 10], 2.0, "nm"), image_of("b", [5, 6], 1.0, "px")
    pooled = pool([known, unknown], Recipe())
    assert pooled.distributions["number"].n == 2
    assert "1 image" in pooled.notes[0]
    assert "pixels" in pool([unknown], Recipe()).notes[0]
    assert pool([], Recipe()).estimates == {}


def test_the_uncertainty_of_the_pixel_size_does_not_average_out():
    images = [image_of(f"i{k}", [9.0] * 12, 2.0, "nm", rel=0.05) for k in range(4)]
    d50 = pool(images, Recipe()).estimates["d50"]
    assert (d50.high - d50.low) / d50.value > 2 * 0.05 * 1.8


def test_tables_with_different_columns_join(tmp_path):
    pd.DataFrame({"label": [1, 2], "area": [3.5, 4.5]}).to_csv(tmp_path / "a.csv", index=False)
    pd.DataFrame({"label": [1], "volume": [7]}).to_csv(tmp_path / "b.csv", index=False)
    join_tables([("a", tmp_path / "a.csv"), ("b, c", tmp_path / "b.csv")], tmp_path / "all.csv")
    with (tmp_path / "all.csv").open(encoding="utf-8") as file:
        rows = list(csv.reader(file))
    assert rows == [
        ["image", "label", "area", "volume"],
        ["a", "1", "3.5", ""],
        ["a", "2", "4.5", ""],
        ["b, c", "1", "", "7"],
    ]


def test_images_that_hardly_belong_together_are_said_to():
    small, large = image_of("a", [9, 10], 1.0, "nm"), image_of("b", [9, 10], 30.0, "nm")
    assert any("factor of 30" in note for note in pool([small, large], Recipe()).notes)
    assert pool([small, small], Recipe()).notes == ()
