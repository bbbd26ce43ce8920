"""Bad pixels: planted ones are found, repaired ones lie on the plane around them."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.prepare.pixels import find_bad_pixels, repair_pixels


def _camera(seed: int, n: int) -> tuple[np.ndarray, np.ndarray, dict[str, tuple[np.ndarray, ...]]]:
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((90, 120))
    beam = 3000 + 600 * np.sin(rows / 25) + 4 * cols
    places = rng.permutation([(r, c) for r in range(4, 86, 6) for c in range(4, 116, 6)])
    planted = {name: tuple(places[20 * k : 20 * k + 20].T) for k, name in enumerate(("hot", "dead", "uneven", "stuck"))}
    gain = np.ones(beam.shape)
    gain[planted["dead"]] = rng.uniform(0, 0.3, 20)
    gain[planted["uneven"]] = rng.choice([0.7, 1.4], 20)
    offset = np.full(beam.shape, 300.0)
    offset[planted["hot"]] += rng.uniform(150, 3000, 20)
    opened = rng.poisson(gain * beam, (n, *beam.shape)) + offset + rng.normal(0, 4, (n, *beam.shape))
    dark = offset + rng.normal(0, 4, (n, *beam.shape))
    opened[(slice(None), *planted["stuck"])] = 3300
    return opened, dark, planted


def test_planted_pixels_are_found_and_no_others():
    opened, dark, planted = _camera(0, 7)
    found = find_bad_pixels(opened, dark)
    for name, at in planted.items():
        mask = getattr(found, name)
        assert mask[at].all(), name
        assert mask.sum() == 20, name
    assert found.bad.sum() == 60
    turned = find_bad_pixels(opened[:, ::-1], dark[:, ::-1])
    np.testing.assert_array_equal(turned.bad[::-1], found.bad)


def test_a_good_camera_has_none_and_one_frame_is_enough():
    rng = np.random.default_rng(1)
    opened, dark = 100 + rng.poisson(2000, (80, 80)), 100 + rng.normal(0, 3, (80, 80))
    assert not any(mask.any() for mask in find_bad_pixels(opened, dark))
    opened = opened.astype(float)
    opened[7, 7] = np.nan
    assert np.argwhere(find_bad_pixels(opened, dark).bad).tolist() == [[7, 7]]


def test_repair_keeps_a_plane_and_every_good_pixel():
    rows, cols = np.indices((20, 30))
    plane = 5.0 * rows - 2 * cols + 400
    bad = np.zeros(plane.shape, bool)
    bad[[3, 9, 15], [4, 20, 11]] = True
    stack = np.stack([plane, 2 * plane])
    stack[:, bad] = 60000
    stack[1, 12, 25] = np.nan
    found = repair_pixels(stack, bad)
    np.testing.assert_allclose(found, np.stack([plane, 2 * plane]), rtol=1e-6)
    assert found.dtype == np.float32
    cluster = np.zeros_like(bad)
    cluster[8:11, 8:11] = True
    inside = repair_pixels(np.where(cluster, 0, plane), cluster)
    np.testing.assert_allclose(inside[9, 9], plane[9, 9], atol=0.1)
    assert np.abs(inside - plane)[cluster].max() < 8
    assert np.isnan(repair_pixels(plane, np.ones_like(bad))).all()


def test_bad_input():
    good = np.full((9, 9), 50.0)
    with pytest.raises(ShapeMismatchError, match="dark has frames"):
        find_bad_pixels(good, good[1:])
    with pytest.raises(ImageError, match="no flux"):
        find_bad_pixels(good, good)
    with pytest.raises(OptionError, match="threshold"):
        find_bad_pixels(good, good, threshold=0)
    with pytest.raises(ShapeMismatchError, match="mask of bad pixels"):
        repair_pixels(good, np.zeros((3, 3)))
