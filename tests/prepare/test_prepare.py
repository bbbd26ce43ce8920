"""Noise, filling, box sums: against numbers known beforehand and plain loops."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from segmetry.errors import OptionError
from segmetry.prepare import as_finite, box_mean_std, fill_invalid, noise_sigma
from segmetry.prepare.running import box_count, box_sum
from segmetry.segment.ndnt import ndnt_mask


@pytest.mark.parametrize("sigma", [0.5, 4, 30])
@pytest.mark.parametrize("offset", [0, 60000])
def test_noise_is_found_beside_particles(sigma, offset):
    rng = np.random.default_rng(0)
    image = rng.normal(offset, sigma, (400, 400))
    i, j = np.mgrid[:400, :400]
    for row, column in itertools.product(range(50, 400, 100), repeat=2):
        image[np.hypot(i - row, j - column) < 15] += 40 * sigma
    assert noise_sigma(image.astype(np.float32)) == pytest.approx(sigma, rel=0.12)
    assert noise_sigma(np.full((30, 30), 7, np.float32)) == 0


def test_box_statistics_against_a_loop():
    rng = np.random.default_rng(1)
    image = (rng.random((12, 15)) + 5000).astype(np.float32)
    mean, std = box_mean_std(image, 5)
    padded = np.pad(image.astype(float), 2, mode="symmetric")
    for i, j in itertools.product(range(12), range(15)):
        window = padded[i : i + 5, j : j + 5]
        assert mean[i, j] == pytest.approx(window.mean(), rel=1e-6)
        assert std[i, j] == pytest.approx(window.std(), rel=1e-3)


def _windows(shape, sides):
    for index in np.ndindex(*shape):
        yield index, tuple(slice(max(0, k - s // 2), k + s // 2 + 1) for k, s in zip(index, sides))


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.int32, bool])
@pytest.mark.parametrize(
    ("shape", "sides"),
    [((7,), (3,)), ((9, 11), (3, 7)), ((1, 6), (5, 5)), ((5, 6, 7), (3, 1, 5)), ((4, 3, 5), (9, 9, 9))],
)
def test_box_sums_and_ndnt_against_plain_loops(shape, sides, dtype):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 2 if dtype is bool else 200, shape).astype(dtype)
    if dtype is np.uint16:
        image *= 300
    sums, count = box_sum(image, sides), box_count(shape, sides)
    valid = rng.random(shape) < 0.7
    for side, share in (("dark", 0.2), ("bright", 0.2), ("both", 0.05), ("dark", 0.0)):
        whole = ndnt_mask(image, window=sides, share=share, side=side)
        masked = ndnt_mask(image, window=sides, share=share, side=side, valid=valid)
        for at, window in _windows(shape, sides):
            values = image[window].astype(float)
            assert sums[at] == values.sum()
            assert count[at] == values.size
            # The same products as the definition's, so that ties fall alike.
            below, above = (1 - share) * values.sum(), (1 + share) * values.sum()
            value = float(image[at]) * values.size
            expected = {"dark": value <= below, "bright": value >= above, "both": value <= below or value >= above}
            assert whole[at] == expected[side]
            used = image[window].astype(float)[valid[window]]
            value = float(image[at]) * used.size
            dark, bright = value <= (1 - share) * used.sum(), value >= (1 + share) * used.sum()
            expected = {"dark": dark, "bright": bright, "both": dark or bright}
            assert masked[at] == (bool(valid[at]) and expected[side])


def test_sums_that_do_not_fit_32_bits():
    image = np.full((40, 3000), 65535, np.uint16)
    assert box_sum(image, (79, 5999))[20, 1500] == 40 * 3000 * 65535
    assert box_sum(image, (3, 5))[20, 1500] == 15 * 65535


def test_even_windows_are_refused():
    with pytest.raises(OptionError, match="odd"):
        box_sum(np.ones((4, 4)), (2, 3))


def test_what_is_not_finite_is_marked():
    pixels = np.array([[1.0, np.nan, 3.0], [np.inf, -np.inf, 1e300]])
    finite = as_finite(pixels, np.array([[True, False, False], [False, False, False]]))
    assert finite.n_bad == 4
    assert finite.valid.tolist() == [[False, False, True], [False, False, False]]
    assert np.isfinite(finite.pixels).all()
    assert as_finite(np.arange(4).reshape(2, 2)).valid is None


def test_gaps_are_filled_with_what_is_round_them():
    i, j = np.mgrid[:90, :120]
    image = (i + 2.0 * j).astype(np.float32)
    valid = np.ones(image.shape, bool)
    valid[30:40, 50:60] = False
    valid[60:, 100:] = False
    wild = np.where(valid, image, 1e6).astype(np.float32)
    filled = fill_invalid(wild, valid)
    np.testing.assert_array_equal(filled[valid], image[valid])
    assert np.abs(filled - image)[30:40, 50:60].max() < 20  # within the slope over half a window
    assert filled.max() <= image[valid].max()
