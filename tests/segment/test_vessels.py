"""Vessels drawn as tubes of known place and radius are found, specks and balls are not."""

from __future__ import annotations

import numpy as np
import pytest

from drawn_tubes import tubes
from segmetry.errors import OptionError
from segmetry.segment.methods import Scene
from segmetry.segment.vessels import Vessels, elongation

LINES = {
    2: ((100, 128), [((5, 5), (95, 120), 4), ((50, 60), (10, 100), 2.5), ((75, 15), (30, 90), 1.5)]),
    3: ((32, 48, 48), [((4, 5, 5), (28, 40, 42), 3), ((16, 22, 22), (4, 44, 15), 2)]),
}


def scene_of(ndim, noise, contrast=80, seed=0):
    from scipy.ndimage import gaussian_filter

    mask = tubes(*LINES[ndim])
    noisy = np.random.default_rng(seed).normal(0, noise, mask.shape)
    pixels = gaussian_filter(100.0 + contrast * mask, 0.7) + noisy
    return Scene(pixels.astype(np.float32), None, (1.0,) * ndim, "px"), mask


def dice(found, mask):
    return 2 * np.count_nonzero((found > 0) & mask) / (np.count_nonzero(found) + np.count_nonzero(mask))


@pytest.mark.parametrize("ndim", [2, 3])
@pytest.mark.parametrize(("filter_", "noise", "least"), [("frangi", 20, 0.82), ("sato", 5, 0.82)])
def test_tubes_are_found_without_given_thresholds(ndim, filter_, noise, least):
    scene, mask = scene_of(ndim, noise)
    found = Vessels(filter=filter_).run(scene)
    assert dice(found.labels, mask) > least
    dark, _ = scene_of(ndim, noise, contrast=-80)
    assert dice(Vessels(filter=filter_, polarity="dark").run(dark).labels, mask) > least


def test_hysteresis_keeps_what_is_sure_somewhere():
    scene, _ = scene_of(2, 2)
    response = Vessels(filter="sato").response(scene).response
    found = Vessels(filter="sato", low=5.0, high=25.0, min_size=1, elongation=0).run(scene)
    assert found.info["low"] == 5
    assert (response[found.labels > 0] > 5).all()
    assert (found.labels[response > 25] > 0).all()
    for k in range(1, found.n_regions + 1):
        assert response[found.labels == k].max() > 25


def test_balls_are_not_long():
    i, j = np.mgrid[:60, :90]
    labels = np.zeros((60, 90), np.int32)
    labels[np.hypot(i - 30, j - 20) < 12] = 1
    labels[20:25, 40:85] = 2
    assert elongation(labels)[1:] == pytest.approx([0.8, 9.0], rel=0.1)
    z, y, x = np.mgrid[:30, :30, :30] - 15
    assert elongation((z * z + y * y + x * x < 100).astype(np.int32))[1] == pytest.approx(0.7, rel=0.1)
    scene = Scene(np.where(labels > 0, 100.0, 0.0).astype(np.float32), None, (1.0, 1.0), "px")
    found = Vessels(sigmas=(3, 6), elongation=3).run(scene)
    assert found.n_regions == 1
    assert found.labels[22, 60] == 1


def test_lengths_need_a_pixel_size_and_thresholds_rise():
    scene, _ = scene_of(2, 5)
    with pytest.raises(OptionError, match="pixel size is unknown"):
        Vessels(sigma_unit="calibrated").run(scene)
    half = Scene(scene.pixels, None, (0.5, 0.5), "mm")
    np.testing.assert_array_equal(
        Vessels(sigmas=(0.5, 1), sigma_unit="calibrated").run(half).labels, Vessels(sigmas=(1, 2)).run(scene).labels
    )
    with pytest.raises(OptionError, match="must not be above"):
        Vessels(low=3, high=2)
    with pytest.raises(OptionError, match="sigmas is empty"):
        Vessels(sigmas=())
