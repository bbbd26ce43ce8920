"""Features of pixels against analytic blobs and scipy; blocks against the whole, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage

from segmetry.errors import ImageError, OptionError
from segmetry.prepare import features as features_of
from segmetry.prepare.features import Features, block_features, feature_names, image_features, levels_of


def maps_of(image, features, **more):
    """Return the maps by name."""
    return dict(zip(feature_names(features, n_axes=image.ndim), image_features(image, features, **more)))


def blob(shape, sigma, spacing=(1, 1, 1)):
    grids = np.indices(shape).astype(float)
    square = sum(((g - n // 2) * d) ** 2 for g, n, d in zip(grids, shape, spacing))
    return np.exp(-square / (2 * sigma**2)).astype(np.float32)


@pytest.mark.parametrize("scale", [0, 1, 2, 3])
def test_a_blob_stays_a_blob(scale):
    # A Gaussian of variance t smoothed by one of variance s is one of t + s; at its centre the gradient is 0, both
    # eigenvalues of the Hessian are -height / (t + s), times s for the scale.
    features = Features(first=1, scales=4)
    own, s = 4.0, features.sigmas[scale] ** 2
    maps = maps_of(blob((128, 144), own), features)
    height = own**2 / (own**2 + s)
    bend = -height * s / (own**2 + s)
    at = (64, 72)
    name = f"{features.sigmas[scale]:g}"
    assert maps[f"gaussian {name}"][at] == pytest.approx(height, rel=0.02)
    for which in ("small", "large"):
        assert maps[f"hessian {which} {name}"][at] == pytest.approx(bend, rel=0.1)
    assert maps[f"laplacian {name}"][at] == pytest.approx(2 * bend, rel=0.1)
    assert maps[f"gradient {name}"][at] == pytest.approx(0, abs=1e-4)
    before = own**2 / (own**2 + (s / 4 if scale else 0))
    assert maps[f"difference {name}"][at] == pytest.approx(height - before, abs=0.01)


def test_a_ramp_and_a_step_by_hand():
    ramp = np.tile(np.arange(128, dtype=np.float32) * 3, (96, 1))
    maps = maps_of(ramp, Features(first=1, scales=3))
    inside = np.s_[48, 64]
    for sigma in (1, 2, 4):  # slope 3, times the standard deviation; its square in the structure tensor, one way only
        assert maps[f"gradient {sigma}"][inside] == pytest.approx(3 * sigma, rel=1e-4)
        assert maps[f"structure large {sigma}"][inside] == pytest.approx((3 * sigma) ** 2, rel=1e-4)
        assert maps[f"structure small {sigma}"][inside] == pytest.approx(0, abs=1e-3)
        assert maps[f"laplacian {sigma}"][inside] == pytest.approx(0, abs=1e-2)


def test_smoothing_is_that_of_scipy():
    image = np.random.default_rng(0).normal(100, 20, (70, 81)).astype(np.float32)
    maps = maps_of(image, Features(first=1, scales=3))
    for sigma, worst in ((1, 1e-3), (2, 1e-3), (4, 0.25)):  # the third is interpolated; its values spread by 1.4
        expected = ndimage.gaussian_filter(image, sigma, mode="mirror")[20:-20, 20:-20]
        assert np.abs(maps[f"gaussian {sigma}"][20:-20, 20:-20] - expected).max() < worst


@pytest.mark.parametrize(
    ("shape", "spacing", "places"),
    [
        ((201, 230), (1, 1), [((0, 64), (0, 97)), ((150, 201), (101, 230)), ((37, 38), (55, 56))]),
        ((21, 40, 37), (3, 1, 1), [((0, 9), (11, 30), (0, 37)), ((20, 21), (39, 40), (36, 37))]),
    ],
)
def test_blocks_give_the_whole(shape, spacing, places):
    image = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    levels = levels_of(image, Features(first=0.7, scales=5), spacing=spacing)
    whole = block_features(levels, tuple(slice(0, n) for n in shape))
    assert len(whole) == len(feature_names(Features(), n_axes=len(shape), n_channels=2))
    for place in places:
        cut = tuple(slice(*ends) for ends in place)
        np.testing.assert_allclose(block_features(levels, cut), whole[(slice(None), *cut)], rtol=1e-5, atol=1e-5)


def test_many_blocks_give_the_whole(monkeypatch):
    image = np.random.default_rng(2).normal(size=(75, 101)).astype(np.float32)
    levels = levels_of(image[np.newaxis])
    whole = block_features(levels, (slice(0, 75), slice(0, 101)))
    monkeypatch.setitem(features_of.BLOCK, 2, (32, 40))  # the coarser copies are made in these blocks too
    np.testing.assert_allclose(image_features(image), whole, rtol=1e-5, atol=1e-5)


def test_planes_far_apart_count_as_far():
    # A round blob in a volume with planes three times as far apart as rows.
    features, own = Features(first=2, scales=2), 6.0
    shape, spacing = (24, 48, 48), (3, 1, 1)
    maps = maps_of(blob(shape, own, spacing), features, spacing=spacing)
    for sigma in features.sigmas:
        height = (own**2 / (own**2 + sigma**2)) ** 1.5
        bend = -height * sigma**2 / (own**2 + sigma**2)
        assert maps[f"gaussian {sigma:g}"][12, 24, 24] == pytest.approx(height, rel=0.03)
        for which in ("small", "middle", "large"):
            assert maps[f"hessian {which} {sigma:g}"][12, 24, 24] == pytest.approx(bend, rel=0.15)


def test_scaled_lengths_change_nothing_and_greys_scale():
    volume = np.random.default_rng(3).normal(size=(9, 14, 13)).astype(np.float32)
    features = Features(scales=2)
    once = image_features(volume, features, spacing=(2, 1, 1))
    np.testing.assert_array_equal(once, image_features(volume, features, spacing=(20, 10, 10)))
    tripled = maps_of(3 * volume, features, spacing=(2, 1, 1))
    for name, before in zip(feature_names(features, n_axes=3), once):
        power = 2 if name.startswith("structure") else 1
        np.testing.assert_allclose(tripled[name], 3**power * before, rtol=1e-3, atol=1e-4)


def test_a_mirrored_image_has_mirrored_features():
    image = np.random.default_rng(4).normal(size=(65, 97)).astype(np.float32)  # 1 above a multiple of 16: grids agree
    features = Features(scales=4)
    flipped = image_features(image[::-1, ::-1].copy(), features)[:, ::-1, ::-1]
    np.testing.assert_allclose(flipped, image_features(image, features), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shape", [(1, 1), (1, 7), (2, 3), (1, 1, 5)])
def test_tiny_images_have_finite_features(shape):
    maps = image_features(np.full(shape, 7.0, np.float32))
    assert maps.shape[1:] == shape
    names = feature_names(Features(), n_axes=len(shape))
    for name, one in zip(names, maps):  # of a constant, all but the smoothed image is 0
        np.testing.assert_allclose(one, 7 if name.startswith("gaussian") else 0, atol=1e-4)


def test_names_are_as_many_as_maps_and_differ():
    for n_axes in (2, 3):
        names = feature_names(Features(), n_axes=n_axes, n_channels=2)
        assert len(names) == len(set(names)) == 2 * 5 * (4 + 2 * n_axes)


def test_what_is_no_image_is_refused():
    with pytest.raises(ImageError, match="not empty"):
        levels_of(np.zeros((1, 0, 4)))
    with pytest.raises(ImageError, match="volumes"):
        image_features(np.zeros(4))
    with pytest.raises(OptionError, match="scales"):
        Features(scales=0)
