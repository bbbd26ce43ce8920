"""The Gaussian mixture against known mixtures, scikit-learn, and laws; as a method, with all others in test_methods."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn.mixture import GaussianMixture

from segmetry.errors import ImageError, OptionError
from segmetry.evaluate import average_precision
from segmetry.segment.gmm import Gmm, fit_mixture, mixture_labels
from segmetry.segment.methods import Scene


def drawn(n, weights, means, deviations, seed=0):
    """Return values of a mixture in one dimension."""
    rng = np.random.default_rng(seed)
    which = rng.choice(len(weights), n, p=weights)
    return rng.normal(np.array(means)[which], np.array(deviations)[which])


@pytest.mark.parametrize(
    ("weights", "means", "deviations"),
    [
        ((0.5, 0.5), (0, 4), (1, 1)),
        ((0.9, 0.1), (100, 160), (8, 15)),
        ((0.2, 0.5, 0.3), (-5, 0, 9), (1, 1.5, 2)),
        ((0.7, 0.3), (1e6, 1e6 + 50), (10, 10)),
    ],
)
def test_a_known_mixture_is_recovered(weights, means, deviations):
    _, found = mixture_labels(drawn(200_000, weights, means, deviations)[:, None], len(weights))
    assert found.weights == pytest.approx(weights, abs=0.01)
    assert found.means[:, 0] == pytest.approx(means, abs=0.05 * max(deviations))
    assert np.sqrt(found.covariances[:, 0, 0]) == pytest.approx(deviations, rel=0.03)


def test_pixels_go_where_the_densities_cross():
    # Equal weights: log N(x; 0, 1) = log N(x; 4, 2) at the root of 3/8 x^2 + x - 2 - log 2 between the means.
    _, mixture = mixture_labels(drawn(400_000, (0.5, 0.5), (0, 4), (1, 2))[:, None], 2)
    x = np.linspace(-8, 8, 16001)
    change = x[1:][np.diff(mixture.labels(x[:, None])) != 0]
    root = math.sqrt(1 + 1.5 * (2 + math.log(2)))
    # Below the lower one the wide component takes over again.
    assert change == pytest.approx([(-1 - root) / 0.75, (-1 + root) / 0.75], abs=0.05)


@pytest.mark.parametrize(("d", "k", "seed"), [(1, 2, 0), (1, 3, 1), (2, 2, 2), (3, 3, 3)])
def test_the_likelihood_is_that_of_scikit_learn(d, k, seed):
    rng = np.random.default_rng(seed)
    centres = 4 * rng.permutation(k)[:, None] + rng.uniform(-1, 1, (k, d))  # they overlap a little
    parts = [
        rng.multivariate_normal(centre, np.eye(d) * rng.uniform(0.5, 1) + 0.3, n)
        for centre, n in zip(centres, (300, 500, 400))
    ]
    x = np.concatenate(parts)
    ours = fit_mixture(x, k)
    theirs = GaussianMixture(k, tol=1e-8, max_iter=2000, reg_covar=1e-9, random_state=0).fit(x)
    assert ours.log_likelihood == pytest.approx(theirs.score(x), abs=2e-5)
    # From where ours ended, theirs goes nowhere: it is a maximum, and the density is the same.
    again = GaussianMixture(
        k,
        reg_covar=0,
        tol=1e-6,
        weights_init=ours.weights,
        means_init=ours.means,
        precisions_init=np.linalg.inv(ours.covariances),
    ).fit(x)
    assert again.means_ == pytest.approx(ours.means, abs=0.01)
    assert again.score(x) == pytest.approx(ours.log_likelihood, abs=1e-5)
    np.testing.assert_array_equal(ours.labels(x), again.predict(x))


def test_counts_are_repeats():
    values, counts = np.array([[0.0], [1.0], [5.0], [6.0], [7.0]]), np.array([3, 1, 2, 5, 1])
    once, repeated = fit_mixture(values, 2, counts=counts), fit_mixture(np.repeat(values, counts, axis=0), 2)
    assert once.means == pytest.approx(repeated.means)
    assert once.weights == pytest.approx(repeated.weights)
    assert once.log_likelihood == pytest.approx(repeated.log_likelihood)


def test_bins_are_as_good_as_all_values():
    values = drawn(20_000, (0.6, 0.4), (0, 5), (1, 2), seed=4)[:, None]
    binned, exact = mixture_labels(values, 2)[1], fit_mixture(values, 2)
    assert binned.means == pytest.approx(exact.means, abs=2e-3)
    assert binned.weights == pytest.approx(exact.weights, abs=1e-3)
    levels = np.round(np.clip(values * 20 + 60, 0, 255))  # grey levels: one bin each, nothing lost
    binned, exact = mixture_labels(levels, 2)[1], fit_mixture(levels, 2)
    assert binned.means == pytest.approx(exact.means, rel=1e-9)


@pytest.mark.parametrize(("scale", "offset"), [(1e-6, 0), (1000, -3e6), (-2, 5)])
def test_the_unit_of_intensity_does_not_matter(scale, offset):
    values = drawn(4000, (0.6, 0.4), (0, 6), (1, 1.5), seed=5)[:, None]
    before, first = mixture_labels(values, 2)
    after, second = mixture_labels(values * scale + offset, 2)
    np.testing.assert_array_equal(after, before if scale > 0 else 1 - before)
    order = slice(None) if scale > 0 else slice(None, None, -1)
    assert (second.means[order] - offset) / scale == pytest.approx(first.means, abs=1e-3)


def test_several_channels_tell_apart_what_one_cannot():
    rng = np.random.default_rng(0)
    truth = rng.random(3000) < 0.4
    angle = rng.normal(0, 3, 3000)
    x = np.stack([angle, angle + np.where(truth, 2.0, -2.0) + rng.normal(0, 0.4, 3000)], axis=1)
    labels, _ = mixture_labels(x, 2)
    agree = np.mean(labels == truth)
    assert max(agree, 1 - agree) > 0.999
    np.testing.assert_array_equal(labels, mixture_labels(x, 2)[0])
    alone = np.mean(mixture_labels(x[:, :1], 2)[0] == truth)
    assert max(alone, 1 - alone) < 0.7


def test_many_pixels_of_several_channels_are_sampled_by_seed():
    rng = np.random.default_rng(1)
    truth = np.arange(120_000) % 3 == 0
    x = rng.normal(0, 1, (120_000, 2)) + np.where(truth, 5.0, 0.0)[:, None]
    labels, mixture = mixture_labels(x, 2, seed=3)
    assert np.mean(labels == truth) > 0.999
    assert mixture.weights == pytest.approx([2 / 3, 1 / 3], abs=0.01)
    np.testing.assert_array_equal(labels, mixture_labels(x, 2, seed=3)[0])


@pytest.mark.parametrize("d", [1, 2])
def test_few_distinct_values_give_few_components(d):
    labels, mixture = mixture_labels(np.full((50, d), 3.0), 2)
    assert (labels.max(), mixture.means.shape) == (0, (1, d))
    two = np.repeat([[1.0] * d, [9.0] * d], [40, 2], axis=0)
    labels, mixture = mixture_labels(two, 4)
    assert labels.tolist() == [0] * 40 + [1] * 2
    assert mixture.weights == pytest.approx([40 / 42, 2 / 42])


@pytest.mark.parametrize("share", [0.3, 0.01, 0.0005])
def test_mostly_one_grey_level(share):
    values = np.full(20_000, 10.0)
    n = int(share * values.size)
    values[:n] = 200 + np.arange(n) % 5
    labels, _ = mixture_labels(values[:, None], 2)
    np.testing.assert_array_equal(labels[:n], 1)
    np.testing.assert_array_equal(labels[n:], 0)


def test_what_is_no_feature_is_refused():
    with pytest.raises(ImageError, match="not empty"):
        mixture_labels(np.zeros((0, 1)), 2)
    with pytest.raises(ImageError, match="n_pixels"):
        mixture_labels(np.zeros(5), 2)
    for d in (1, 2):
        with pytest.raises(ImageError, match="finite"):
            mixture_labels(np.full((5, d), np.nan), 2)
    with pytest.raises(OptionError, match="at least one"):
        mixture_labels(np.zeros((5, 1)), 0)


def scene_of(values, shape=(160, 160), *, seed=0):
    """Return a scene of three disks on a background, and their labels; values: (mean, deviation) of the two."""
    rng = np.random.default_rng(seed)
    i, j = np.mgrid[: shape[0], : shape[1]]
    truth = np.zeros(shape, np.int32)
    for k, (row, column, radius) in enumerate(((40, 40, 20), (110, 50, 25), (70, 120, 30)), start=1):
        truth[np.hypot(i - row, j - column) < radius] = k
    (back, back_deviation), (front, front_deviation) = values
    pixels = np.where(
        truth > 0, rng.normal(front, front_deviation, shape), rng.normal(back, back_deviation, shape)
    ).astype(np.float32)
    return Scene(pixels, None, (1.0, 1.0), "px"), truth


@pytest.mark.parametrize("polarity", ["bright", "dark"])
def test_particles_of_unlike_noise_are_found_and_the_means_are_told(polarity):
    sign = 1 if polarity == "bright" else -1
    scene, truth = scene_of(((100, 5), (100 + sign * 40, 14)))
    found = Gmm(polarity=polarity, smoothing=0).run(scene)
    # Without smoothing a pixel in twenty is on the wrong side; holes are filled, specks are dropped.
    assert average_precision(truth, found.labels, 0.85) == 1
    back, front = found.info["means"]
    assert (back, front) == pytest.approx((100, 100 + sign * 40), abs=0.6)
    assert found.info["deviations"] == pytest.approx((5, 14), rel=0.03)
    assert found.info["weights"][1] == pytest.approx(np.mean(truth > 0), abs=0.01)


def test_the_far_tail_of_a_wide_component_stays_background():
    scene, truth = scene_of(((100, 2), (110, 25)))
    found = Gmm(polarity="bright", smoothing=0, fill_holes=False, split=False, min_size=1).run(scene)
    assert scene.pixels[found.labels > 0].min() > 100
    assert np.count_nonzero((truth > 0) & (scene.pixels < 90)) > 500


def test_three_components_leave_the_halo_out():
    scene, truth = scene_of(((50, 4), (150, 4)), seed=2)
    i, j = np.mgrid[:160, :160]
    halo = (np.hypot(i - 70, j - 120) < 45) & (truth == 0)
    scene.pixels[halo] = np.random.default_rng(0).normal(100, 4, np.count_nonzero(halo))
    found = Gmm(polarity="bright", components=3, smoothing=0).run(scene)
    assert average_precision(truth, found.labels, 0.9) == 1
    assert len(found.info["means"]) == 3
