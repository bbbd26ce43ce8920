"""Medians by networks against scipy's and numpy's, value for value."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.medians import disk, median3, ring, window_median

TYPES = (np.uint8, np.uint16, np.float32)


def noise(shape, dtype, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(0, 40, shape) if dtype is np.float32 else rng.integers(0, 250, shape)
    return values.astype(dtype)


@pytest.mark.slow  # compiles
@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("shape", [(5, 7, 530), (1, 1, 1), (2, 1, 3), (1, 9, 512), (3, 2, 513)])
def test_median_of_27_is_that_of_scipy(shape, dtype):
    volume = noise(shape, dtype)
    ours = median3(volume)
    assert ours.dtype == dtype
    np.testing.assert_array_equal(ours, ndimage.median_filter(volume, 3, mode="nearest"))


@pytest.mark.slow
def test_median_of_27_finds_every_rank():
    # By the 0-1 principle a network that is right for zeros and ones is right; here all 28 counts of ones, shuffled.
    rng = np.random.default_rng(1)
    for ones in range(28):
        cubes = np.stack([rng.permutation(np.arange(27) < ones) for _ in range(200)]).reshape(-1, 3, 3, 3)
        wide = cubes.transpose(1, 2, 0, 3).reshape(3, 3, -1).astype(np.uint8)  # side by side
        assert (median3(wide)[1, 1, 1::3] == (ones >= 14)).all()


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("radius", [0.5, 1, 1.5, 2, 3])
def test_round_windows_are_those_of_scipy(radius, dtype):
    image = noise((19, 300), dtype)
    expected = ndimage.median_filter(image, footprint=disk(radius), mode="nearest")
    np.testing.assert_array_equal(window_median(image, disk(radius)), expected)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_window_without_its_middle_has_the_mean_of_the_middle_two(dtype):
    image = noise((11, 13), dtype)
    padded = np.pad(image, 2, mode="edge")
    found = window_median(image, ring(5))
    for i, j in np.ndindex(*image.shape):
        values = np.delete(padded[i : i + 5, j : j + 5].astype(np.float64).ravel(), 12)
        assert found[i, j] == pytest.approx(np.median(values), rel=1e-6)


def test_windows_of_volumes_and_other_types():
    volume = noise((6, 7, 8), np.float32)
    cross = ndimage.generate_binary_structure(3, 1)
    np.testing.assert_array_equal(
        window_median(volume, cross), ndimage.median_filter(volume, footprint=cross, mode="nearest")
    )
    image = noise((9, 9), np.uint8)
    np.testing.assert_array_equal(median3(image.astype(np.int32)), median3(image).astype(np.float32))


@pytest.mark.slow
def test_medians_turn_and_flip_with_the_image():
    volume = noise((9, 9, 9), np.uint8, 3)
    np.testing.assert_array_equal(median3(volume[::-1, :, ::-1]), median3(volume)[::-1, :, ::-1])
    np.testing.assert_array_equal(median3(volume.transpose(2, 0, 1)), median3(volume).transpose(2, 0, 1))
    np.testing.assert_array_equal(median3(255 - volume), 255 - median3(volume))


def test_windows_that_are_none_are_refused():
    with pytest.raises(OptionError, match="odd sides"):
        window_median(np.zeros((4, 4)), np.ones((2, 3)))
    with pytest.raises(OptionError, match="odd sides"):
        window_median(np.zeros((4, 4)), np.zeros((3, 3)))
    with pytest.raises(ImageError, match="at least one pixel"):
        median3(np.zeros((0, 4)))
