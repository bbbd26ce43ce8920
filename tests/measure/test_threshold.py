"""Threshold to table without a label image: the same table as with one."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import ndimage
from skimage.filters import threshold_otsu

from segmetry.errors import ImageError, OptionError
from segmetry.measure import label, measure, measure_threshold, otsu_threshold, remove_small
from segmetry.types import Calibration, Image

CONNECTIVITY = [(2, 4), (2, 8), (3, 6), (3, 18), (3, 26)]


def field(shape, dtype, seed=0):
    smooth = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), 1.5)
    smooth = (smooth - smooth.min()) / np.ptp(smooth)
    return (smooth * (60000 if dtype == np.uint16 else 250)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32, np.float32, float])
@pytest.mark.parametrize(("ndim", "connectivity"), CONNECTIVITY)
@pytest.mark.parametrize("dark", [False, True])
def test_equals_label_then_measure(dtype, ndim, connectivity, dark):
    image = field((70, 83) if ndim == 2 else (17, 19, 21), dtype)
    level = otsu_threshold(image)
    table = measure_threshold(image, dark=dark, connectivity=connectivity)
    mask = image <= level if dark else image > level
    pd.testing.assert_frame_equal(table, measure(label(mask, connectivity=connectivity), image))


@settings(max_examples=80, deadline=None)
@given(
    image=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=2, max_dims=3, max_side=20), elements=st.integers(0, 3)),
    level=st.sampled_from([-1, 0, 0.5, 1, 2.999, 3, 300]),
    dark=st.booleans(),
    full=st.booleans(),
)
def test_equals_label_then_measure_on_anything(image, level, dark, full):
    connectivity = {(2, True): 8, (2, False): 4, (3, True): 26, (3, False): 6}[image.ndim, full]
    mask = image <= level if dark else image > level
    names = ["area" if image.ndim == 2 else "volume", "centroid", "bbox", "intensity_mean"]
    found = measure_threshold(image, level, dark=dark, connectivity=connectivity, measures=names)
    pd.testing.assert_frame_equal(found, measure(label(mask, connectivity=connectivity), image, measures=names))


def test_ignored_pixels_small_objects_and_units():
    image = Image(field((60, 90), np.uint16), calibration=Calibration((0.5, 0.5), "nm"))
    ignore = np.zeros(image.shape, bool)
    ignore[50:] = True
    ignore[10:14, 20:50] = True
    image = image.replace(ignore=ignore)
    level = otsu_threshold(image.pixels, ignore=ignore)
    assert level == threshold_otsu(image.pixels[~ignore])
    labels = remove_small(label((image.pixels > level) & ~ignore), 12)
    table = measure_threshold(image, min_pixels=12)
    pd.testing.assert_frame_equal(table, measure(labels, image))
    assert table.attrs["units"]["area"] == "nm^2"
    assert table["over_text"].any()


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int16, np.int32])
def test_otsu_equals_scikit_image_on_whole_numbers(dtype):
    for seed in range(5):
        image = field((80, 90), dtype, seed)
        assert otsu_threshold(image) == threshold_otsu(image)


def test_otsu_of_floats_splits_best():
    """No other of many thresholds has a larger variance between the two sides, beyond the width of a bin."""
    image = field((60, 70), float, 3) * 1e-3 + 7

    def between(level):
        below, above = image[image <= level], image[image > level]
        return below.size * above.size * (below.mean() - above.mean()) ** 2

    best = between(otsu_threshold(image))
    for level in np.quantile(image, np.linspace(0.01, 0.99, 199)):
        assert between(level) <= best * (1 + 1e-3)


def test_otsu_of_little():
    assert otsu_threshold(np.full((3, 3), 7, np.uint16)) == 7
    assert otsu_threshold(np.full((3, 3), 0.5)) == 0.5
    assert otsu_threshold(np.array([[0.0, 0.0, np.nan, 1.0]])) < 1
    assert (np.array([0, 200], np.uint8) > otsu_threshold(np.array([[0, 200]], np.uint8))).tolist() == [False, True]
    assert (np.array([False, True]) > otsu_threshold(np.array([[False, True]]))).tolist() == [False, True]
    with pytest.raises(ImageError, match="no pixel is finite"):
        otsu_threshold(np.full((2, 2), np.nan))
    with pytest.raises(ImageError, match="no pixel that counts"):
        otsu_threshold(np.zeros((2, 2)), ignore=np.ones((2, 2), bool))


def test_a_threshold_between_two_float32_values():
    low = np.float32(0.1)
    image = np.array([[low, np.nextafter(low, np.float32(1)), 0]], np.float32)
    level = (float(image[0, 0]) + float(image[0, 1])) / 2 + 1e-12  # nearer to the upper one
    assert measure_threshold(image, level)["bbox-1"].tolist() == [1]
    assert measure_threshold(image, math.nextafter(float(image[0, 1]), 0))["bbox-1"].tolist() == [1]
    assert len(measure_threshold(image, math.inf)) == 0


def test_errors():
    with pytest.raises(OptionError, match="nan"):
        measure_threshold(np.zeros((3, 3)), math.nan)
    with pytest.raises(OptionError, match="connectivity"):
        measure_threshold(np.zeros((3, 3)), 0, connectivity=26)
    with pytest.raises(ImageError, match="2 or 3 axes"):
        measure_threshold(np.zeros(3), 0)
