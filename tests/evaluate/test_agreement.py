"""The ceiling of two annotators: gaps by hand, and what the sentences say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.agreement import agreement
from segmetry.evaluate.paired import paired_difference

BETWEEN = np.array([0.9, 0.8, 0.7, 0.9, 0.8, 0.6])


def test_gaps_by_hand():
    #                       against A: gaps -.1 -.1 -.1 -.2  0 -.1, against B: 0 0 .1 0 -.1 0
    first = np.array([0.8, 0.7, 0.6, 0.7, 0.8, 0.5])
    second = np.array([0.9, 0.8, 0.8, 0.9, 0.7, 0.6])
    found = agreement(BETWEEN, first, second, method="hybrid", annotators=("Ann", "Bob"))
    assert found.ceiling.value == pytest.approx(4.7 / 6)
    assert found.to_first.estimate.value == pytest.approx(-0.1)
    assert found.to_second.estimate.value == pytest.approx(0)
    assert found.to_both.estimate.value == pytest.approx(-0.05)
    # Against A: 32 of 64 choices of signs matter (one gap is 0); only all - and all + reach .6: 4 of 64.
    assert found.to_first.p_value == 4 / 64
    assert found.sentences[0].startswith("hybrid agrees with annotator Ann less well than Bob does: -0.1")
    assert found.sentences[1].startswith("hybrid agrees with annotator Bob as well as Ann does: 0.00")
    low, high = found.to_first.estimate.low, found.to_first.estimate.high
    assert low < -0.1 < high < 0


def test_gaps_are_paired_and_signs_follow_the_score():
    rng = np.random.default_rng(0)
    between = rng.uniform(0.2, 1, 60)
    closer = between - 0.05 + rng.normal(0, 0.02, 60)
    groups = rng.integers(0, 40, 60)
    found = agreement(between, closer, between, groups=groups, seed=3)
    assert found.to_first.estimate.high < 0  # though the scores themselves spread over 0.8
    direct = paired_difference(between, closer, groups=groups, seed=3)
    assert found.to_first.estimate.low == direct.estimate.low
    assert "less well" in found.sentences[0]
    assert "better than" in agreement(between, closer, between, best="low").sentences[0]
    assert "as well as" in found.sentences[1]


def test_too_few_images_and_bad_input():
    few = agreement([0.9, 0.8, math.nan], [0.8, 0.8, 0.5], [0.7, 0.8, 0.5])
    assert "cannot be told" in few.sentences[0]
    assert few.to_first.n == 2
    with pytest.raises(ShapeMismatchError, match="one for each image"):
        agreement([0.9], [0.9, 0.8], [0.9])
    with pytest.raises(OptionError, match="'high' or 'low'"):
        agreement([0.9], [0.9], [0.9], best="zero")
