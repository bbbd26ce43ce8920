"""Ridge measures against what tubes answer on paper, against scikit-image, and laws."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.filters import frangi as frangi_of_skimage
from skimage.filters import sato as sato_of_skimage

from segmetry.errors import ImageError, OptionError
from segmetry.prepare.vesselness import frangi, sato

SIGMAS = np.geomspace(1.5, 6, 9)  # with 3 and 3 √2


def line(w, ndim, n=41):
    """Return a line of Gaussian profile along the last axis, on the middle of the others."""
    axes = np.meshgrid(*[np.arange(n) - n // 2] * (ndim - 1), indexing="ij")
    profile = np.exp(-sum(a**2 for a in axes) / (2 * w * w))
    return np.repeat(profile[..., None], 9, axis=-1)


@pytest.mark.parametrize("polarity", ["bright", "dark"])
@pytest.mark.parametrize(("ndim", "best", "most"), [(2, 3 * 2**0.5, 2 / 27**0.5), (3, 3.0, 0.25)])
def test_a_gaussian_tube_answers_as_on_paper(ndim, best, most, polarity):
    image = line(3.0, ndim) * (1 if polarity == "bright" else -1)
    found = sato(image, SIGMAS, polarity=polarity)
    axis = (20,) * (ndim - 1) + (4,)
    assert found.response[axis] == pytest.approx(most, rel=2e-3)
    assert found.sigma[axis] == pytest.approx(best, rel=1e-6)
    # Frangi: no bending along it, all bends across alike, and the largest norm of all is here.
    strong = frangi(image, SIGMAS, polarity=polarity)
    expected = (1 - np.exp(-2)) ** (ndim - 1)
    assert strong.response[axis] == pytest.approx(expected, abs=2e-3)
    assert strong.sigma[axis] == pytest.approx(best, rel=1e-6)
    other = "dark" if polarity == "bright" else "bright"
    assert frangi(image, SIGMAS, polarity=other).response[axis] == 0


@pytest.mark.parametrize(
    ("ndim", "radius", "best", "most"),
    [
        (2, 7.5, 7.5, (2 / (np.pi * np.e)) ** 0.5),  # a bar of 15 px
        pytest.param(3, 8, 8 / 2**0.5, 1 / np.e, marks=pytest.mark.slow),
    ],
)
def test_the_scale_tells_the_radius(ndim, radius, best, most):
    axes = np.meshgrid(*[np.arange(-40, 41)] * (ndim - 1), indexing="ij")
    inside = sum(a**2 for a in axes) <= radius**2
    found = sato(np.repeat(inside[..., None].astype(float), 3, axis=-1), np.geomspace(3, 12, 25))
    axis = (40,) * (ndim - 1) + (1,)
    assert found.sigma[axis] == pytest.approx(best, rel=0.06)
    assert found.response[axis] == pytest.approx(most, rel=0.01)


@pytest.mark.parametrize("ndim", [2, 3])
def test_scikit_image_agrees_away_from_the_border(ndim):
    rng = np.random.default_rng(ndim)
    from scipy.ndimage import gaussian_filter

    image = gaussian_filter(rng.normal(size=(60, 60) if ndim == 2 else (32, 32, 32)), 1.5).astype(np.float32)
    inner = (slice(9, -9),) * ndim  # scikit-image mirrors slopes at the border with the wrong sign
    ours, theirs = sato(image, (1.5, 2)).response[inner], sato_of_skimage(image, (1.5, 2), black_ridges=False)[inner]
    assert np.abs(ours - theirs).max() < 2e-3 * theirs.max()
    # One scale, and a common c: theirs keeps that of the first scale and leaves out sigma². Where l1 and l2 are equal
    # up to sign, the measure jumps, so not all voxels agree.
    theirs = frangi_of_skimage(image, (2,), black_ridges=False, gamma=0.05)[inner]
    ours = frangi(image, (2,), c=0.05 * 4).response[inner]
    assert np.quantile(np.abs(ours - theirs), 0.999) < 2e-3


def test_a_length_is_a_length():
    fine = line(3.0, 3)
    ours = sato(fine[::2], (2.0, 3.0), spacing=(2, 1, 1)).response
    np.testing.assert_allclose(ours[5:-5], sato(fine, (2.0, 3.0)).response[::2][5:-5], atol=2e-3)


def test_a_turned_image_gives_a_turned_answer():
    image = np.random.default_rng(3).normal(size=(20, 30))
    np.testing.assert_allclose(sato(image[::-1].T, (1, 2)).response, sato(image, (1, 2)).response[::-1].T, atol=1e-5)


@pytest.mark.parametrize("find", [sato, frangi])
def test_images_without_a_line(find):
    assert not find(np.full((7, 8, 9), -5.0), (1, 2)).response.any()
    plane = np.random.default_rng(0).normal(size=(1, 12, 15))
    np.testing.assert_array_equal(find(plane, (1,)).response[0], find(plane[0], (1,)).response)
    assert find(np.ones((1, 1, 1)), (1,)).response.shape == (1, 1, 1)
    assert find(np.arange(9.0)[None] % 4, (1,)).response.shape == (1, 9)
    with pytest.raises(ImageError, match="not finite"):
        find(np.full((4, 4), np.inf), (1,))
    with pytest.raises(OptionError, match="did you mean 'bright'"):
        find(plane, (1,), polarity="brigth")
    with pytest.raises(OptionError, match="at least one sigma"):
        find(plane, ())


def test_frangi_refuses_a_scale_of_noise_that_is_none():
    with pytest.raises(OptionError, match="c must be above 0"):
        frangi(np.zeros((4, 4)), (1,), c=0)
