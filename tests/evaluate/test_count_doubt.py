"""What counts are off by: sums over all outcomes of known chances, and coverage where images of a group err alike."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
from scipy import stats

from segmetry.errors import OptionError, SegmetryError
from segmetry.evaluate.count_doubt import CountDoubt, calibrate_count
from segmetry.evaluate.scored import ScoredImage


@pytest.mark.parametrize("unseen", [0.0, 0.3])
def test_the_root_mean_square_is_that_over_all_outcomes(unseen):
    """Every subset of four candidates that may be right, and every number of particles that were no candidate."""
    chances = np.array([0.9, 0.6, 0.3, 0.05])
    never = np.arange(40)
    weight = stats.poisson.pmf(never, unseen * chances.sum())
    for n in range(5):
        square = 0.0
        for right in itertools.product((0, 1), repeat=4):
            chance = np.prod(np.where(right, chances, 1 - chances))
            square += chance * float(weight @ (sum(right) + never - n) ** 2)
        assert CountDoubt(unseen, 1.0).sd(chances, n) == pytest.approx(math.sqrt(square), rel=1e-9)
        assert CountDoubt(unseen, 2.5).sd(chances, n) == pytest.approx(2.5 * math.sqrt(square), rel=1e-9)


def test_no_candidate_leaves_no_doubt_and_every_kept_one_false_all_of_it():
    doubt = CountDoubt(0.1, 1.0)
    assert doubt.sd([], 0) == 0
    assert doubt.sd(np.zeros(7), 7) == 7


def draw(rng, n_groups, together, first=0):
    """Return images with known chances, and the particles kept; a group's log-odds are off together by a Gaussian.

    Its standard deviation is `together`, and the particles that are no candidate vary with it.
    """
    images, found = [], []
    for group in range(first, first + n_groups):
        shift = rng.normal(0, together)
        for _ in range(rng.integers(1, 4)):
            p = rng.beta(4, 0.7, rng.integers(1, 60))
            odds = p / (1 - p).clip(1e-9) * math.exp(shift)
            right = rng.random(p.size) < odds / (1 + odds)
            never = rng.poisson(0.05 * math.exp(-shift) * p.sum())
            images.append(ScoredImage(p, right, int(right.sum()) + never, str(group)))
            found.append(int((p >= 0.5).sum()))
    return images, found


def coverage(doubt, images, found):
    """Return the mean over groups of the share of images whose 95 % interval holds the true number."""
    held = {}
    for image, n in zip(images, found):
        held.setdefault(image.group, []).append(abs(image.n_truth - n) <= 1.96 * doubt.sd(image.scores, n))
    return float(np.mean([np.mean(h) for h in held.values()]))


def test_independent_particles_of_known_chances_need_no_factor():
    doubt = calibrate_count(*draw(np.random.default_rng(0), 3000, 0.0))
    assert doubt.n_groups == 3000
    # Right ones and unseen ones are drawn with the same chances: .05 is the mean of their ratio, up to sampling.
    assert doubt.unseen == pytest.approx(0.05, abs=3 * math.sqrt(0.05 / 150_000))
    assert doubt.factor == pytest.approx(1, abs=0.05)


def test_where_images_err_together_the_factor_keeps_the_level_for_new_groups():
    """Over 60 calibrations of 40 groups each; one scatters by .03, so the standard error of their mean is .004."""
    rng = np.random.default_rng(1)
    judged = draw(rng, 300, 1.5)
    with_factor, without = [], []
    for _ in range(60):
        doubt = calibrate_count(*draw(rng, 40, 1.5))
        with_factor.append(coverage(doubt, *judged))
        without.append(coverage(CountDoubt(doubt.unseen, 1.0), *judged))
    assert np.mean(without) < 0.9
    assert 0.94 < np.mean(with_factor) < 0.985  # the level at least, and 1 / 41 more at most, both up to sampling


def test_a_group_counts_once_however_many_images_it_has():
    images, found = draw(np.random.default_rng(2), 60, 1.0)
    once = calibrate_count(images, found)
    many = [(i, n) for i, n in zip(images, found) for _ in range(50 if i.group == "7" else 1)]
    again = CountDoubt(once.unseen, 1.0)
    ratio = [abs(i.n_truth - n) / again.sd(i.scores, n) / stats.norm.ppf(0.975) for i, n in zip(images, found)]
    weight = np.array([1 / sum(o.group == i.group for o in images) for i in images])
    order = np.argsort(ratio)
    by_hand = np.array(ratio)[order][np.searchsorted(np.cumsum(weight[order]) / 61, 0.95)]
    assert once.factor == pytest.approx(by_hand, rel=1e-9)
    repeated = calibrate_count(*zip(*many))  # only the mean of what is unseen moves
    assert repeated.factor == pytest.approx(once.factor, rel=0.05)


def test_too_few_groups_tell_no_level():
    images, found = draw(np.random.default_rng(3), 18, 0.5)
    assert calibrate_count(images, found) is None
    assert calibrate_count(*draw(np.random.default_rng(3), 19, 0.5)) is not None


def test_nothing_right_tells_nothing():
    images = [ScoredImage([0.4], [False], 2, str(g)) for g in range(30)]
    assert calibrate_count(images, [1] * 30) is None


def test_chances_that_leave_no_room_for_what_happened_tell_nothing():
    """All are sure, all candidates are found, and yet in every image one is false: no factor widens zero."""
    images = [ScoredImage([1.0, 1.0], [True, False], 1, str(g)) for g in range(30)]
    assert calibrate_count(images, [2] * 30) is None


def test_as_data_and_back():
    doubt = CountDoubt(0.05, 1.7, 147, 98)
    assert CountDoubt.from_dict(json.loads(json.dumps(doubt.as_dict()))) == doubt
    with pytest.raises(SegmetryError, match="factr"):
        CountDoubt.from_dict({"unseen": 0.1, "factr": 1.0})


@pytest.mark.parametrize("bad", [-0.1, math.nan, math.inf, "1"])
def test_bad_numbers_are_named(bad):
    with pytest.raises(OptionError, match="factor"):
        CountDoubt(0.1, bad)


def test_one_number_for_each_image():
    with pytest.raises(OptionError, match="1 for 2 images"):
        calibrate_count(draw(np.random.default_rng(0), 2, 0)[0][:2], [3])
