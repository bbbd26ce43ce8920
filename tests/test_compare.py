"""Ranks and tiers, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from segmetry.compare import rank
from segmetry.evaluate.scores import Score
from segmetry.evaluate.uncertain import mean_over_images

HIGH, LOW = Score("a", "high", ""), Score("b", "low", "")


def ranks(values: dict[str, np.ndarray], score: Score, **options):
    return rank(values, {m: mean_over_images(v) for m, v in values.items()}, score, **options)


def test_order_follows_what_is_better():
    rng = np.random.default_rng(0)
    base = rng.uniform(0.4, 0.6, 30)
    values = {"middle": base + 0.1, "worst": base, "best": base + 0.3}
    assert [r.method for r in ranks(values, HIGH)] == ["best", "middle", "worst"]
    assert [r.method for r in ranks(values, LOW)] == ["worst", "middle", "best"]


def test_difference_is_to_the_best_on_the_same_images():
    base = np.random.default_rng(1).uniform(0.1, 0.9, 25)
    best, second = ranks({"a": base, "b": base - 0.05}, HIGH)
    assert best.to_best is None
    assert second.to_best.estimate.value == pytest.approx(-0.05)
    assert second.tier == 2  # paired: the same -.05 on every image, however far the images spread


def test_methods_that_cannot_be_told_apart_share_a_tier():
    rng = np.random.default_rng(2)
    base = rng.uniform(0.1, 0.9, 40)
    noise = rng.normal(0, 0.05, (3, 40))
    noise -= noise.mean(axis=1, keepdims=True)
    values = {"a": base + 0.30, "b": base + 0.29 + noise[0], "c": base + 0.1, "d": base + 0.095 + noise[1]}
    assert [(r.method, r.tier) for r in ranks(values, HIGH)] == [("a", 1), ("b", 1), ("c", 2), ("d", 2)]


def test_method_without_a_score_is_last():
    values = {"none": np.full(10, np.nan), "some": np.linspace(0, 1, 10)}
    assert [r.method for r in ranks(values, HIGH)] == ["some", "none"]


def test_place_is_that_on_the_images_that_all_have():
    """Without its five worst images "choosy" has the better mean; where both have a score it is the worse."""
    fair = np.concatenate([np.full(5, 0.1), np.linspace(0.7, 0.9, 10)])
    choosy = np.where(fair < 0.5, np.nan, fair - 0.1)
    assert np.nanmean(choosy) > fair.mean()
    best, second = ranks({"fair": fair, "choosy": choosy}, HIGH)
    assert (best.method, second.method) == ("fair", "choosy")
    assert second.to_best.estimate.value == pytest.approx(-0.1)


def test_groups_are_drawn_as_a_whole():
    """Ten images that are copies of two say no more than two."""
    rng = np.random.default_rng(3)
    a, gap = rng.uniform(0, 1, 20), np.repeat([0.2, -0.1], 10)
    alone = ranks({"a": a, "b": a - gap}, HIGH)[1].to_best
    grouped = ranks({"a": a, "b": a - gap}, HIGH, groups=["x"] * 10 + ["y"] * 10)[1].to_best
    assert (alone.n_groups, grouped.n_groups) == (20, 2)
    assert grouped.p_value > alone.p_value
