"""Maps from scores to chances against known curves, scikit-learn, counts on paper, and diagrams of held-out groups."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.evaluate.reliability import reliability
from segmetry.evaluate.score_map import FORMS, N_BINS, ScoreMap, calibrate_scores


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def particles(n_groups, seed, chance_of):
    """Return scores, whether right, and groups; groups differ in size, a score's chance of being right is given."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n_groups), rng.integers(1, 60, n_groups))
    scores = rng.beta(1.2, 0.7, groups.size)
    return scores, rng.random(groups.size) < chance_of(scores), groups


def never_sure(s):
    """A chance that no logistic curve in the log-odds has: it does not go to 0 or 1."""
    return 0.15 + 0.5 * s


def logistic(s):
    """Too sure of itself: slope .5, and an offset."""
    return sigmoid(0.5 * np.log(s / (1 - s)) - 0.8)


@pytest.mark.parametrize(
    ("form", "chance_of"), [("none", lambda s: s), ("logistic", logistic), ("isotonic", never_sure)]
)
def test_the_form_that_is_true_is_chosen_and_holds_on_other_groups(form, chance_of):
    found = calibrate_scores(*particles(400, 0, chance_of))
    assert set(found.log_loss) == set(FORMS)
    best = min(found.log_loss.values())
    assert found.form == min(FORMS, key=found.log_loss.get)
    if form != "none":  # the curve of slope 1 and offset 0 may come as near
        assert found.form == form
    assert found.log_loss[form] == pytest.approx(best, abs=2e-4)
    scores, right, _ = particles(400, 1, chance_of)
    before, after = (reliability(right, s).scores["ece"] for s in (scores, found.apply(scores)))
    assert after < 0.02
    if form != "none":
        assert before > 0.08
    assert np.mean(np.abs(found.apply(scores) - chance_of(scores))) < 0.03


def test_the_logistic_curve_is_recovered():
    found = calibrate_scores(*particles(1500, 2, logistic))
    assert (found.form, found.n_groups) == ("logistic", 1500)
    assert (found.slope, found.offset) == pytest.approx((0.5, -0.8), abs=0.04)
    assert found.apply([0.5]) == pytest.approx(sigmoid(found.offset))


@pytest.mark.parametrize("seed", range(3))
def test_the_logistic_curve_is_that_of_scikit_learn(seed):
    scores, right, _ = particles(12, seed, logistic)
    found = calibrate_scores(scores, right, [0] * scores.size)  # one group: nothing to hold out
    n, k = right.size, right.sum()
    high, low = (k + 1) / (k + 2), 1 / (n - k + 2)
    target = np.where(right, high, low)
    x = np.log(scores / (1 - scores))[:, None]
    theirs = LogisticRegression(C=np.inf, tol=1e-10, max_iter=1000).fit(
        np.concatenate([x, x]), np.repeat([1, 0], n), sample_weight=np.append(target, 1 - target)
    )
    assert found.form == "logistic"
    assert found.log_loss == {}
    assert found.slope == pytest.approx(theirs.coef_[0, 0], rel=1e-4)
    assert found.offset == pytest.approx(theirs.intercept_[0], abs=1e-4)


def isotonic(scores, right):
    """Return the isotonic form alone."""
    from segmetry.evaluate.score_map import _FIT

    return _FIT["isotonic"](np.asarray(scores, float), np.asarray(right, bool))


def test_knots_on_paper():
    # Forty scores, so bins of two; in the second half all are right, in the first every other one.
    scores = (np.arange(40) + 0.5) / 40
    right = (np.arange(40) >= 20) | (np.arange(40) % 2 == 1)
    found = isotonic(scores, right)
    # Each half is pooled into one block, 20 particles each: 10.5 of 21, and 20.5 of 21.
    assert found.knots == pytest.approx((0, 0.25, 0.75, 1))
    assert found.values == pytest.approx((0.25, 0.5, 20.5 / 21, 41.5 / 42))
    assert found.apply([0.125, 0.5]) == pytest.approx([0.375, (0.5 + 20.5 / 21) / 2])


@pytest.mark.parametrize("seed", range(5))
def test_a_map_rises_with_few_knots_near_scikit_learn(seed):
    scores, right, _ = particles(60, seed, logistic)
    found = isotonic(scores, right)
    assert 4 <= len(found.knots) <= N_BINS + 2
    assert (np.diff(found.knots) > 0).all()
    assert (np.diff(found.values) > 0).all()
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores, right).predict(scores)
    assert np.mean(np.abs(found.apply(scores) - theirs)) < 0.03
    ties = isotonic(np.round(scores, 1), right)
    assert (np.diff(ties.knots) > 0).all()


@pytest.mark.parametrize(
    "form", [ScoreMap("none"), ScoreMap("logistic", 0.7, -1.0), isotonic([0.2, 0.4, 0.9], [0, 1, 1])]
)
def test_a_map_keeps_the_order_and_goes_to_json(form):
    scores = np.linspace(0.001, 0.999, 500)
    chance = form.apply(scores)
    assert (np.diff(chance) > 0).all()
    assert 0 <= chance.min() <= chance.max() <= 1
    again = ScoreMap.from_dict(json.loads(json.dumps(form.as_dict())))
    assert again == form
    np.testing.assert_array_equal(again.apply(scores), chance)
    assert form.apply(np.array([0.0, 1.0], np.float32)).dtype == np.float64
    assert math.isnan(form.apply([math.nan])[0])


@pytest.mark.parametrize("right", [True, False])
def test_all_right_or_all_wrong_is_not_certainty(right):
    scores = np.random.default_rng(0).uniform(0.2, 0.9, 60)
    found = calibrate_scores(scores, np.full(60, right), [0] * 60)
    chance = found.apply(scores)
    assert (chance > 0).all()
    assert (chance < 1).all()
    assert np.mean(chance) == pytest.approx(61 / 62 if right else 1 / 62, abs=1e-6)


def test_a_score_that_tells_nothing_gives_one_chance():
    rng = np.random.default_rng(3)
    scores = rng.uniform(0.1, 0.9, 800)
    found = calibrate_scores(scores, rng.random(800) > scores, [0] * 800)  # the wrong way round
    assert found.slope == 0
    assert np.ptp(found.apply(scores)) == 0
    one = calibrate_scores([0.5] * 30, [True] * 20 + [False] * 10, range(30))
    assert one.apply([0.5])[0] == pytest.approx(2 / 3, abs=0.02)


def test_groups_are_never_parted():
    """A score that knows its group by heart: right in all of a group or in none, each group with scores of its own."""
    rng = np.random.default_rng(4)
    groups = np.repeat(np.arange(20), 50)
    fate = rng.random(20) < 0.5
    scores = (groups + 0.5) / 20
    by_group = calibrate_scores(scores, fate[groups], groups).log_loss["isotonic"]
    parted = calibrate_scores(scores, fate[groups], rng.permutation(groups)).log_loss["isotonic"]
    assert by_group > parted


def test_the_order_of_particles_does_not_matter():
    scores, right, groups = particles(30, 5, logistic)
    shuffled = np.random.default_rng(0).permutation(scores.size)
    one, two = (
        calibrate_scores(scores, right, groups),
        calibrate_scores(scores[shuffled], right[shuffled], groups[shuffled]),
    )
    assert one.form == two.form
    assert one.apply(scores) == pytest.approx(two.apply(scores))


def test_what_cannot_be_calibrated_is_refused():
    with pytest.raises(ShapeMismatchError):
        calibrate_scores([0.1, 0.2], [True], ["a", "b"])
    with pytest.raises(ShapeMismatchError):
        calibrate_scores([0.1], [True], ["a", "b"])
    with pytest.raises(OptionError, match="no particles"):
        calibrate_scores([], [], [])
    with pytest.raises(ImageError, match=r"\[0, 1\]"):
        calibrate_scores([1.2], [True], ["a"])
    with pytest.raises(OptionError, match="did you mean 'isotonic'"):
        ScoreMap.from_dict({"form": "isotonc"})
    with pytest.raises(OptionError, match="did you mean 'slope'"):
        ScoreMap.from_dict({"form": "none", "slpe": 1})
