"""Stripes: planted ones go, the phantom stays, and what sorting does is what its plain formula says."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.stripes import (
    Stripes,
    detect_stripe,
    remove_by_sorting,
    remove_dead,
    remove_large,
    remove_stripes,
)

ANGLES, COLUMNS = 180, 257
THETA = np.deg2rad(np.arange(ANGLES))[:, None]
S = np.arange(COLUMNS) - COLUMNS // 2


def _disk(radius: float, row: float, col: float) -> np.ndarray:
    """Return the sinogram of a disk of attenuation 0.01 per px: twice the half chord."""
    return 0.02 * np.sqrt(np.maximum(radius**2 - (S - col * np.cos(THETA) + row * np.sin(THETA)) ** 2, 0))


@pytest.fixture(scope="module")
def clean() -> np.ndarray:
    rng = np.random.default_rng(0)
    return (_disk(110, 3, -5) + _disk(25, 40, 30) + rng.normal(0, 0.02, (ANGLES, COLUMNS))).astype(np.float32)


def test_sorting_is_its_plain_formula():
    rng = np.random.default_rng(1)
    for shape, size in (((40, 60), 21), ((33, 12), 31), ((7, 50), 3)):
        sinogram = rng.normal(0, 1, shape).astype(np.float32)
        sinogram[:, 4] = 0.5  # equal values, in the order of the angles
        order = np.argsort(sinogram, axis=0, kind="stable")
        values = np.take_along_axis(sinogram, order, 0)
        padded = np.pad(values, ((0, 0), (size // 2, size // 2)), mode="symmetric")
        smooth = np.median(np.lib.stride_tricks.sliding_window_view(padded, size, axis=1), axis=-1)
        expected = np.empty_like(sinogram)
        np.put_along_axis(expected, order, smooth, 0)
        np.testing.assert_array_equal(remove_by_sorting(sinogram, size=size), expected)


def test_planted_columns_are_detected_and_no_others():
    rng = np.random.default_rng(2)
    profile = rng.normal(5, 0.1, 500)
    assert not detect_stripe(profile).any()
    planted = [20, 133, 134, 480]
    profile[planted] += [2, -2, -1.5, 3]
    assert np.flatnonzero(detect_stripe(profile)).tolist() == planted
    assert np.flatnonzero(detect_stripe(7 - 3 * profile)).tolist() == planted
    assert not detect_stripe(np.ones(50)).any()
    assert not detect_stripe(np.arange(5.0)).any()


def _left(found: np.ndarray, clean: np.ndarray, columns: np.ndarray) -> float:
    """Return the root mean square over columns of the mean over angles of what is left: the stripes, not the noise."""
    return float(np.sqrt(np.mean((found - clean).mean(0)[columns] ** 2)))


def test_narrow_stripes_fall_by_a_factor_and_the_phantom_stays(clean):
    columns = np.array([60, 90, 128, 161, 200])
    striped = clean.copy()
    striped[:, columns] += np.float32([0.1, -0.15, 0.2, -0.1, 0.12])
    found = remove_by_sorting(striped)
    # A stripe moves the median's rank by one, which on the disk's slope (0.016 per px at column 60) is one column.
    assert _left(striped, clean, columns) > 8 * _left(found, clean, columns)
    others = np.setdiff1d(np.arange(COLUMNS), columns)
    assert np.abs((found - clean).mean(0)[others]).max() < 0.05  # a fiftieth of the phantom's 2.2
    assert np.abs(found.mean() - clean.mean()) < 0.002
    assert found.dtype == np.float32


def test_wide_stripes_need_the_large_rule(clean):
    columns = np.arange(120, 134)
    striped = clean.copy()
    striped[:, columns] += np.float32(0.4)
    left = [_left(f(striped), clean, columns) for f in (remove_by_sorting, remove_large, remove_stripes)]
    assert left[0] > 0.1
    # Fourteen outliers move a median's rank by seven columns, which on a disk's slope is not the same value.
    assert left[1] < 0.4 / 12
    assert left[2] < 0.4 / 12
    elsewhere = np.setdiff1d(np.arange(COLUMNS), np.arange(118, 136))
    assert (
        np.sqrt(np.mean((remove_large(striped) - clean).mean(0)[elsewhere] ** 2)) < 0.04
    )  # of 2.2: 51 px is wide for 257


def test_flickering_and_dead_columns_are_interpolated(clean):
    rng = np.random.default_rng(3)
    striped = clean.copy()
    striped[:, 80] = rng.uniform(0, 4, ANGLES)
    striped[:, 150:152] += rng.normal(0, 1, (ANGLES, 2)).astype(np.float32)
    found = remove_dead(striped)
    truth = _disk(110, 3, -5) + _disk(25, 40, 30)
    for columns in (slice(80, 81), slice(150, 152)):
        assert np.sqrt(np.mean((found - truth)[:, columns] ** 2)) < 0.06
        assert np.sqrt(np.mean((striped - truth)[:, columns] ** 2)) > 0.8
    np.testing.assert_array_equal(
        np.delete(found, [79, 80, 81, 149, 150, 151, 152], 1), np.delete(striped, [79, 80, 81, 149, 150, 151, 152], 1)
    )
    stuck = clean.copy()
    stuck[:, 100] = 1.0  # one value at all angles: less change than its neighbours
    assert np.sqrt(np.mean((remove_stripes(stuck) - truth)[:, 100] ** 2)) < 0.1


def test_flips_stacks_and_nan(clean):
    found = remove_stripes(clean)
    np.testing.assert_allclose(remove_stripes(clean[:, ::-1])[:, ::-1], found, atol=1e-6)
    stack = remove_stripes(np.stack([clean, clean + 1], axis=1))
    np.testing.assert_array_equal(stack[:, 0], found)
    holed = clean.copy()
    holed[50, 60:63] = np.nan
    holed[70, 128] = np.inf
    filled = remove_by_sorting(holed)
    np.testing.assert_array_equal(np.isnan(filled), ~np.isfinite(holed))
    good = np.isfinite(filled)
    assert np.abs(filled - remove_by_sorting(clean))[good].max() < 0.1
    assert np.isnan(remove_stripes(np.full((9, 9), np.nan))).all()


def test_bad_input(clean):
    with pytest.raises(OptionError, match="odd"):
        remove_by_sorting(clean, size=20)
    with pytest.raises(OptionError, match="snr"):
        Stripes(snr=0)
    with pytest.raises(ImageError, match="eight columns"):
        remove_stripes(np.zeros((5, 4)))
    with pytest.raises(ImageError, match="missing"):
        remove_stripes(None)
