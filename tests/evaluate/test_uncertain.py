"""Intervals of scores: by hand, against the plain bootstrap written out, laws, and whether they cover."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy import special, stats

import score_coverage as study
from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.bootstrap import draws
from segmetry.evaluate.uncertain import mean_over_images, pooled


def _ratio(counts):
    return {"recall": counts["hits"] / (counts["hits"] + counts["misses"])}


def _bootstrap_t(groups_of_values, seed, n_resamples=1000, level=0.95):
    """The same interval drawn group by group, value by value."""
    n = len(groups_of_values)
    every = np.concatenate(groups_of_values)

    def mean_and_error(groups):
        together = np.concatenate(groups)
        mean = together.mean()
        return mean, math.sqrt(sum((g - mean).sum() ** 2 for g in groups)) / len(together)

    mean, error = mean_and_error(groups_of_values)
    ratios = []
    for row in np.concatenate(list(draws(n, n_resamples, seed))):
        taken = [g for g, times in zip(groups_of_values, row) for _ in range(int(times))]
        m, e = mean_and_error(taken)
        ratios.append((m - mean) / max(e, 0.3 * error))
    ratios.sort()
    place = n_resamples + 1
    ends = []
    for p in (1 - (1 - level) / 2, (1 - level) / 2):  # order statistics of (n + 1) p, linear between them
        k = place * p
        below = math.floor(k)
        ends.append(ratios[below - 1] + (k - below) * (ratios[below] - ratios[below - 1]))
    assert mean == every.mean()
    parts = np.array([(g - mean).sum() for g in groups_of_values])
    carriers = max(min(n, 3 * (parts**2).sum() ** 2 / (parts**4).sum()), 3)
    error *= stats.t.ppf(0.5 + level / 2, carriers - 1) / stats.t.ppf(0.5 + level / 2, n - 1)
    return mean - ends[0] * error, mean - ends[1] * error


def test_mean_counted_on_paper():
    # (0.5 + 1 + 0 + 0.75 + 0.25 + 0.5) / 6 = 0.5; the seventh image has no score.
    found = mean_over_images([0.5, 1, 0, 0.75, 0.25, 0.5, math.nan])
    assert found.value == 0.5
    assert found.n == 6
    assert "1 image without this score left out" in found.note
    assert found.method == "mean over images; bootstrap-t, 7 images drawn 1000 times"


def test_draws_are_what_they_say():
    weights = np.concatenate(list(draws(7, 5000, 3)))
    assert weights.shape == (5000, 7)
    assert (weights.sum(1) == 7).all()
    assert weights.mean(0) == pytest.approx(np.ones(7), abs=5 * math.sqrt(6 / 7 / 5000))
    assert weights.var(0) == pytest.approx(np.full(7, 6 / 7), rel=0.1)


def test_interval_is_that_of_a_bootstrap_written_out():
    rng = np.random.default_rng(5)
    values = rng.beta(5, 1, 25)
    found = mean_over_images(values, seed=4)
    assert (found.low, found.high) == pytest.approx(_bootstrap_t([np.array([v]) for v in values], 4), rel=1e-9)


def test_interval_of_groups_is_that_of_a_bootstrap_written_out():
    rng = np.random.default_rng(6)
    code = np.sort(np.concatenate([np.arange(12), rng.integers(0, 12, 13)]))
    values = rng.beta(2, 2, 25) * rng.uniform(0.3, 1, 12)[code]
    found = mean_over_images(values, groups=[f"paper {k:02d}" for k in code], seed=9)
    each = [values[code == k] for k in range(12)]
    assert found.value == pytest.approx(values.mean())  # images count, not groups
    assert (found.low, found.high) == pytest.approx(_bootstrap_t(each, 9), rel=1e-9)
    assert "12 groups of images drawn" in found.method


def test_pooled_by_hand_and_equal_to_the_mean_of_equal_images():
    hits, misses = np.array([8, 5, 9, 3, 7, 6]), np.array([2, 0, 1, 4, 1, 2])
    found = pooled({"hits": hits, "misses": misses}, _ratio, over="objects")["recall"]
    assert found.value == 38 / 48
    assert found.method.startswith("counts pooled over objects; bootstrap-t, 6 images")
    # With equal numbers of objects the pooled recall is the mean over images, and so must be its interval.
    hits = np.array([8, 5, 9, 3, 7, 6, 10, 2])
    same = pooled({"hits": hits, "misses": 10 - hits}, _ratio, over="objects", seed=2)["recall"]
    mean = mean_over_images(hits / 10, seed=2)
    assert (same.value, same.low, same.high) == pytest.approx((mean.value, mean.low, mean.high), rel=1e-6)


def test_pooled_takes_counts_of_any_shape():
    rng = np.random.default_rng(0)
    table = rng.integers(1, 50, (30, 2, 2))

    def accuracy(c):
        return {"accuracy": np.trace(c["confusion"], axis1=1, axis2=2) / c["confusion"].sum((1, 2))}

    found = pooled({"confusion": table}, accuracy, over="pixels")["accuracy"]
    flat = pooled(
        {"hits": table[:, 0, 0] + table[:, 1, 1], "misses": table[:, 0, 1] + table[:, 1, 0]}, _ratio, over="pixels"
    )["recall"]
    assert (found.value, found.low, found.high) == pytest.approx((flat.value, flat.low, flat.high), rel=1e-4)


def test_laws():
    rng = np.random.default_rng(1)
    values = rng.beta(3, 1, 40)
    one = mean_over_images(values, seed=7)
    assert mean_over_images(values, seed=7) == one
    assert mean_over_images(values, seed=8) != one
    moved = mean_over_images(3 * values + 1, seed=7)
    assert (moved.low, moved.high) == pytest.approx((3 * one.low + 1, 3 * one.high + 1))
    turned = mean_over_images(-values, seed=7)
    assert (turned.low, turned.high) == pytest.approx((-one.high, -one.low))
    several = mean_over_images(pd.DataFrame({"a": values, "b": -values}), seed=7, units={"a": "nm"})
    assert several["a"].low == pytest.approx(one.low)
    assert several["a"].unit == "nm"
    assert list(several) == ["a", "b"]
    names = rng.permutation(40).astype(str)  # groups of one image are images
    alone = mean_over_images(values[np.argsort(np.unique(names, return_inverse=True)[1])], seed=7)
    grouped = mean_over_images(values, groups=names, seed=7)
    assert (grouped.low, grouped.high) == pytest.approx((alone.low, alone.high))
    wide = mean_over_images(values, level=0.99)
    assert wide.low < one.low < one.high < wide.high


def test_a_repeated_group_tells_nothing_new():
    values = np.random.default_rng(2).beta(3, 1, 30)
    once = mean_over_images(values, groups=np.arange(30))
    thrice = mean_over_images(np.repeat(values, 3), groups=np.repeat(np.arange(30), 3))
    naive = mean_over_images(np.repeat(values, 3))
    assert (thrice.low, thrice.high) == pytest.approx((once.low, once.high))
    assert naive.high - naive.low < 0.75 * (once.high - once.low)


def test_few_images_bounds_and_equal_images():
    few = mean_over_images([0.5, 0.6, 0.7, 0.8])
    assert few.value == pytest.approx(0.65)
    assert math.isnan(few.low)
    assert "too few for an interval" in few.note
    assert "may be too narrow" in mean_over_images(np.linspace(0.2, 0.8, 12)).note
    assert mean_over_images(np.linspace(0.2, 0.8, 20)).note == ""
    perfect = mean_over_images(np.ones(10), bounds=(0, 1))
    assert perfect.high == 1
    assert perfect.low == pytest.approx(special.betaincinv(10.5, 0.5, 0.025))
    worst = mean_over_images(np.zeros(10), bounds={"mean": (0, 1)})
    assert (worst.low, worst.high) == pytest.approx((0, 1 - perfect.low))
    equal = mean_over_images(np.full(10, 0.3), bounds=(0, 1))
    assert (equal.low, equal.high) == pytest.approx((0.3, 0.3))
    assert "equal" in equal.note
    nearly = mean_over_images([1.0] * 9 + [0.6], bounds=(0, 1))
    assert nearly.high <= 1
    assert 0.5 < nearly.low < 0.96  # not the whole range, though half of the draws have no spread
    nothing = mean_over_images([math.nan] * 3)
    assert math.isnan(nothing.value)
    assert nothing.n == 0
    assert "no image has this score" in nothing.note
    assert math.isnan(mean_over_images([]).value)


def test_unequal_groups_are_worth_fewer_equal_ones():
    """Kish's number: (sum of sizes) squared over the sum of squared sizes."""
    rng = np.random.default_rng(0)

    def found(sizes):
        codes = np.repeat(np.arange(len(sizes)), sizes)
        return mean_over_images(rng.uniform(0.4, 0.6, len(codes)), groups=codes)

    one_rules = found([20, 1, 1, 1, 1, 1])  # 25^2 / (400 + 5) = 1.5
    assert math.isnan(one_rules.low)
    assert "few of the 6 groups hold most of the images" in one_rules.note
    some_rule = found([30, 10] + [1] * 30)  # 70^2 / (900 + 100 + 30) = 4.8
    assert some_rule.low < 0.5 < some_rule.high
    assert "32 groups, as unequal as they are, say as much as 5" in some_rule.note
    assert found([2] * 20).note == ""
    assert "6 groups are few" in found([2] * 6).note


def test_equal_images_at_a_bound_without_an_opposite_have_no_width():
    """Jeffreys' interval is of a share of the way between two bounds; a count of splits has no upper one."""
    for value, bounds in ((0.0, (0.0, math.inf)), (0.0, (-math.inf, math.inf)), (1.0, None)):
        found = mean_over_images(np.full(8, value), bounds=bounds)
        assert (found.value, found.low, found.high) == (value, value, value)
        assert "no width" in found.note
    correlation = mean_over_images(np.full(10, -1.0), bounds=(-1, 1))
    perfect = mean_over_images(np.ones(10), bounds=(0, 1))
    assert (correlation.low, correlation.high) == pytest.approx((-1, 1 - 2 * perfect.low))


def test_a_rounded_bound_is_the_bound():
    perfect = mean_over_images(np.ones(10), bounds=(0, 1))
    nearly = mean_over_images(np.full(10, 1 - 1e-12), bounds=(0, 1))  # hits / (hits + 1e-12) in a published protocol
    assert (nearly.low, nearly.high) == pytest.approx((perfect.low, 1))
    hits = np.array([8, 5, 9, 3, 7, 6, 4, 9, 2, 5])
    one = pooled({"hits": hits, "overlap": 1.0 * hits}, lambda c: {"sq": c["overlap"] / c["hits"]}, over="objects",
                 bounds=(0, 1))["sq"]  # fmt: skip
    assert (one.low, one.high) == pytest.approx((perfect.low, 1))  # though slopes from small steps are not quite 0


def test_a_score_that_many_draws_do_not_have():
    counts = {"hits": np.array([3, 0, 0, 0, 0, 0]), "misses": np.array([1, 0, 0, 0, 0, 0])}
    found = pooled(counts, _ratio, over="objects")["recall"]
    assert found.value == 0.75
    assert math.isnan(found.low)


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="one for each"):
        mean_over_images([1, 2, 3], groups=["a", "b"])
    with pytest.raises(ShapeMismatchError, match="one value for each image"):
        mean_over_images({"a": [1, 2], "b": [1, 2, 3]})
    with pytest.raises(OptionError, match=r"0\.95 is usual"):
        mean_over_images([1, 2, 3], level=95)
    with pytest.raises(OptionError, match="1000 is usual"):
        mean_over_images([1, 2, 3], n_resamples=10)
    with pytest.raises(ShapeMismatchError, match="one entry for each image"):
        pooled({"hits": np.ones(3), "misses": np.ones(4)}, _ratio, over="objects")


@pytest.mark.slow
@pytest.mark.parametrize(("law", "n", "n_groups"), [(0, 50, 50), (1, 50, 50), (2, 99, 75), (3, 366, 247), (5, 99, 99)])
def test_intervals_of_means_cover(law, n, n_groups):
    """Between 93 and 97 % of 4000; that is what was asked for, and three standard errors are 1 %."""
    cell = study.mean_cell(study.LAWS[law], n, n_groups, 4000, seed=2026)
    assert 0.93 <= cell.cover[study.WAYS[0]] <= 0.97, cell


@pytest.mark.slow
def test_intervals_of_pooled_scores_cover():
    cell = study.pooled_cell(study.CROWDS[0], 50, 1000, seed=2026)
    inside = round(cell.cover[study.WAYS[0]] * 1000)
    assert stats.binomtest(inside, 1000, 0.95).pvalue > 0.002, cell
