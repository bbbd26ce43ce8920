"""Paired differences: p-values counted on paper, laws, an independent library, and the share of false alarms."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.evaluate.paired import holm, paired_difference
from segmetry.evaluate.uncertain import mean_over_images


def test_three_pairs_counted_on_paper():
    # b - a = .1, .2, .3. Of the 8 choices of signs, only +++ and --- reach a sum of .6: 2/8.
    found = paired_difference([0.5, 0.6, 0.4], [0.6, 0.8, 0.7])
    assert found.estimate.value == pytest.approx(0.2)
    assert found.p_value == 0.25
    assert (found.n, found.n_groups) == (3, 3)


def test_four_pairs_counted_on_paper():
    # b - a = 4, 1, 1, -2: the sum is 4. |sum| >= 4 of 16 choices, with the sign of 4 held at +:
    #   +1 +1 +2: 8   +1 +1 -2: 4   +1 -1 +2: 6   -1 +1 +2: 6   -1 -1 +2: 4   +1 -1 -2: 2   -1 +1 -2: 2   -1 -1 -2: 0
    # 5 of these 8, and as many with -4: 10/16.
    found = paired_difference(np.zeros(4), [4.0, 1.0, 1.0, -2.0])
    assert found.p_value == 10 / 16


def test_groups_turn_as_a_whole():
    # Sums of the groups: A .3, B .1, C .2, so as three images: 2/8. The mean stays that over the six images: .1.
    b = [0.1, 0.2, 0.1, 0.3, -0.2, 0.1]
    found = paired_difference(np.zeros(6), b, groups=["A", "A", "B", "C", "C", "C"], name="new - old")
    assert found.p_value == 0.25
    assert found.estimate.value == pytest.approx(0.1)
    assert (found.n, found.n_groups, found.name, found.estimate.name) == (6, 3, "new - old", "new - old")


def test_images_without_either_score_are_left_out():
    nan = math.nan
    found = paired_difference([0.5, nan, 0.6, 0.4, 0.1], [0.6, 0.9, 0.8, 0.7, nan], groups=list("abcde"))
    assert (found.n, found.n_groups, found.p_value) == (3, 3, 0.25)
    assert "2 images without this score left out" in found.estimate.note
    nothing = paired_difference([nan], [1.0])
    assert math.isnan(nothing.p_value)
    assert nothing.n == 0


def test_interval_is_that_of_the_mean_of_differences():
    rng = np.random.default_rng(0)
    a, b = rng.beta(3, 1, (2, 40))
    groups = rng.integers(0, 25, 40)
    found = paired_difference(a, b, groups=groups, seed=5)
    mean = mean_over_images(b - a, groups=groups, seed=5)
    assert (found.estimate.low, found.estimate.high) == (mean.low, mean.high)


def test_laws():
    rng = np.random.default_rng(1)
    a = rng.beta(3, 1, 40)
    b = a + rng.normal(0.02, 0.05, 40)
    one, back = paired_difference(a, b), paired_difference(b, a)
    assert back.p_value == one.p_value
    assert (back.estimate.low, back.estimate.high) == pytest.approx((-one.estimate.high, -one.estimate.low))
    same = paired_difference(a, a)
    assert same.p_value == 1
    assert (same.estimate.value, same.estimate.low, same.estimate.high) == (0, 0, 0)
    clear = paired_difference(a, a + 0.1 + 0.01 * b)
    assert clear.p_value == 1 / 10_000  # never 0


@pytest.mark.parametrize("n", [8, 30])
def test_against_scipy(n):
    rng = np.random.default_rng(n)
    d = rng.normal(0.4, 1, n)
    theirs = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=20_000, rng=1)
    ours = paired_difference(np.zeros(n), d).p_value
    error = 0 if n == 8 else 4 * math.sqrt(ours * (1 - ours) * (1 / 9999 + 1 / 20_000))
    assert ours == pytest.approx(theirs.pvalue, abs=1e-9 + error)


def test_exact_and_random_signs_agree(monkeypatch):
    from segmetry.evaluate import paired

    d = np.random.default_rng(3).normal(0.5, 1, 11)
    exact = paired_difference(np.zeros(11), d).p_value
    monkeypatch.setattr(paired, "EXACT", 5)
    drawn = paired_difference(np.zeros(11), d).p_value
    assert drawn != exact
    assert drawn == pytest.approx(exact, abs=4 * math.sqrt(exact * (1 - exact) / 9999) + 1e-4)


def test_holm_by_hand():
    # Sorted .01 .02 .03 .2 times 4 3 2 1: .04 .06 .06 .2; never falling.
    assert holm([0.03, 0.2, 0.01, 0.02]) == pytest.approx([0.06, 0.2, 0.04, 0.06])
    assert holm([0.01, 0.01]) == pytest.approx([0.02, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])
    with_gap = holm([0.03, math.nan, 0.01])
    assert with_gap[[0, 2]] == pytest.approx([0.03, 0.02])
    assert math.isnan(with_gap[1])
    assert holm([]).size == 0


def test_bad_input_has_one_clear_line():
    with pytest.raises(ShapeMismatchError, match="give one an image"):
        paired_difference([1, 2], [1, 2, 3])
    with pytest.raises(OptionError, match="9999 is usual"):
        paired_difference([1, 2], [1, 2], n_permutations=0)


@pytest.mark.slow
@pytest.mark.parametrize("n", [10, 40])
def test_share_of_false_alarms(n):
    """Two methods that differ by chance only, skewed scores, groups alike: 5 % of p-values are at most 5 %."""
    rng = np.random.default_rng([7, n])
    code = np.repeat(np.arange(n), 1 + (np.arange(n) % 3 == 0))
    n_sets, false = 3000, 0
    for k in range(n_sets):
        common = rng.beta(3, 1, n)[code]
        a, b = (np.clip(common - rng.gamma(0.5, 0.1, n)[code] - rng.gamma(0.5, 0.05, len(code)), 0, 1) for _ in "ab")
        false += paired_difference(a, b, groups=code, n_resamples=100, n_permutations=999, seed=k).p_value <= 0.05
    assert stats.binomtest(false, n_sets, 0.05).pvalue > 0.002, false / n_sets
