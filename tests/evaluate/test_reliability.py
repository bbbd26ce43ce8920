"""Calibration and filtering against counts by hand, known distributions, scikit-learn, and laws."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from peers import torchmetrics
from scipy import stats
from sklearn import metrics
from sklearn.calibration import calibration_curve

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.reliability import CALIBRATION, calibration, diagram, reliability
from segmetry.evaluate.risk import RISK, risk_coverage


def _cases(seed, n=5000, *, sixteen_bits=True, sharpness=1.0):
    """Return truths and probabilities; with sharpness 1 the probabilities are right."""
    rng = np.random.default_rng(seed)
    right = rng.beta(0.7, 1.1, n)
    truth = rng.random(n) < right
    logit = sharpness * np.log(right / (1 - right))
    stated = 1 / (1 + np.exp(-logit))
    return truth, np.round(stated * 65535).astype(np.uint16) if sixteen_bits else stated


def test_bins_counted_on_paper():
    truth = np.array([0, 0, 1, 0, 1, 1, 1, 0])
    stated = np.array([0.0, 0.2, 0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    found = reliability(truth, stated, n_bins=2)
    # (0, 0.5]: 0.0 0.2 0.2 0.4, one of four came true; (0.5, 1]: 0.6 0.8 1 1, three of four
    assert found.predicted == pytest.approx([0.2, 0.85])
    assert found.observed.tolist() == [0.25, 0.75]
    assert found.n.tolist() == [4, 4]
    assert (found.lower.tolist(), found.upper.tolist()) == ([0, 0.5], [0.5, 1])
    brier = (0 + 0.04 + 0.64 + 0.16 + 0.16 + 0.04 + 0 + 1) / 8
    reliable, resolved, unsure = (0.05**2 + 0.1**2) / 2, 0.25**2, 0.25
    assert found.scores == pytest.approx(
        {
            "ece": (0.05 + 0.1) / 2,
            "ece_equal_mass": (0.05 + 0.1) / 2,
            "mce": 0.1,
            "brier": brier,
            "brier_reliability": reliable,
            "brier_resolution": resolved,
            "brier_uncertainty": unsure,
            "brier_within": brier - reliable + resolved - unsure,
        }
    )
    assert found.scores.keys() == CALIBRATION.keys()


def test_a_border_belongs_to_the_bin_below():
    found = reliability(np.array([0, 1, 1]), np.array([0.2, 0.4, 0.40002]), n_bins=5)
    assert found.n.tolist() == [1, 1, 1]
    assert found.upper.tolist() == [0.2, 0.4, 0.6]


@pytest.mark.parametrize("n_bins", [1, 7, 10, 15])
def test_against_scikit_learn(n_bins):
    truth, stated = _cases(0)
    found = reliability(truth, stated, n_bins=n_bins)
    observed, predicted = calibration_curve(truth, stated / 65535, n_bins=n_bins)
    assert found.observed == pytest.approx(observed)
    assert found.predicted == pytest.approx(predicted)
    assert found.scores["brier"] == pytest.approx(metrics.brier_score_loss(truth, stated / 65535), rel=1e-12)


def test_floats_are_off_by_less_than_a_level():
    truth, stated = _cases(1, sixteen_bits=False)
    assert reliability(truth, stated).scores["brier"] == pytest.approx(
        metrics.brier_score_loss(truth, stated), abs=1.6e-5
    )


@pytest.mark.slow
@pytest.mark.torch
def test_against_torchmetrics():
    torch = pytest.importorskip("torch")
    classification = torchmetrics("classification")
    truth, stated = _cases(2, sharpness=2)
    t, p = torch.from_numpy(truth.astype(int)), torch.from_numpy(stated / 65535)
    scores = reliability(truth, stated).scores
    for name, norm in (("ece", "l1"), ("mce", "max")):
        metric = classification.BinaryCalibrationError(n_bins=15, norm=norm)
        assert scores[name] == pytest.approx(float(metric(p, t)), abs=1e-5)


def test_the_parts_of_the_brier_score():
    """The part within bins, written out over the cases: variance of the probabilities minus twice the covariance."""
    truth, stated = _cases(3, 800)
    p, y, n_bins = stated / 65535, truth.astype(float), 6
    scores = reliability(truth, stated, n_bins=n_bins).scores
    bin_of = np.maximum(np.ceil(p * n_bins) - 1, 0)
    within = 0.0
    for k in np.unique(bin_of):
        dp, dy = p[bin_of == k] - p[bin_of == k].mean(), y[bin_of == k] - y[bin_of == k].mean()
        within += (dp**2).sum() - 2 * (dp * dy).sum()
    assert scores["brier_within"] == pytest.approx(within / p.size, abs=1e-12)
    total = scores["brier_reliability"] - scores["brier_resolution"] + scores["brier_uncertainty"]
    assert scores["brier"] == pytest.approx(total + scores["brier_within"], abs=1e-12)
    few_levels = np.round(p * 5) / 5  # one probability a bin: nothing is within
    assert reliability(truth, few_levels, n_bins=10).scores["brier_within"] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("bins", ["width", "mass"])
def test_right_probabilities_are_found_right(bins):
    truth, stated = _cases(4, 400_000)
    found = reliability(truth, stated, bins=bins)
    # The mean distance of a right bin is sqrt(2 o (1 - o) / (pi n)); four standard errors of one bin above for all.
    noise = np.sqrt(2 * found.observed * (1 - found.observed) / (np.pi * found.n))
    expected = (found.n * noise).sum() / found.n.sum()
    assert found.scores["ece" if bins == "width" else "ece_equal_mass"] < 2 * expected
    inside = (found.low <= found.predicted) & (found.predicted <= found.high)
    assert inside.sum() >= 12  # of 15, at 95 %: fewer has a chance of 5e-4


def test_too_sure_probabilities_are_found_out():
    truth, stated = _cases(4, 100_000, sharpness=2)
    found = reliability(truth, stated)
    low, high = found.predicted < 0.4, found.predicted > 0.6
    assert (found.observed[low] > found.predicted[low]).all()
    assert (found.observed[high] < found.predicted[high]).all()
    # In closed form: mean |right - stated| over right ~ Beta(0.7, 1.1).
    right = stats.beta(0.7, 1.1)
    expected = right.expect(lambda r: abs(r**2 / (r**2 + (1 - r) ** 2) - r), lb=0, ub=1)
    assert found.scores["ece"] == pytest.approx(expected, abs=0.01)


def test_a_constant_forecast():
    truth = np.arange(1000) < 300
    scores = reliability(truth, np.full(1000, 0.5)).scores
    assert scores["ece"] == scores["mce"] == scores["ece_equal_mass"] == pytest.approx(0.2, abs=1e-5)
    assert scores["brier"] == pytest.approx(0.25, abs=1e-5)
    assert scores["brier_resolution"] == pytest.approx(0, abs=1e-15)
    perfect = reliability(truth, truth.astype(float)).scores
    assert (perfect["brier"], perfect["ece"]) == (0, 0)
    assert perfect["brier_resolution"] == pytest.approx(perfect["brier_uncertainty"])
    assert reliability(truth, (~truth).astype(float)).scores["brier"] == 1


def test_bins_of_equal_mass():
    truth, stated = _cases(5, 3000)
    found = reliability(truth, stated, n_bins=10, bins="mass")
    assert abs(found.n - 300).max() <= 2  # ties stay together
    assert (found.lower[1:] > found.upper[:-1]).all()
    order = np.argsort(stated, kind="stable")
    by_hand = np.array([abs(truth[i].mean() - stated[i].mean() / 65535) for i in np.split(order, 10)])
    assert found.scores["ece_equal_mass"] == pytest.approx(by_hand.mean(), abs=2e-3)
    tied = reliability(np.array([0, 1, 0, 1]), np.full(4, 0.5), n_bins=4, bins="mass")
    assert tied.n.tolist() == [4]


def test_wilson_interval():
    truth = np.r_[np.ones(7), np.zeros(3)].astype(int)
    found = reliability(truth, np.full(10, 0.6))
    right = stats.binomtest(7, 10).proportion_ci(0.95, "wilson")
    assert (found.low[0], found.high[0]) == pytest.approx((right.low, right.high))


def test_counts_add_up():
    parts = [_cases(seed, 500) for seed in range(3)]
    histograms = [count_scores(*part) for part in parts]
    whole = reliability(*(np.concatenate(side) for side in zip(*parts)))
    summed = diagram(sum(histograms[1:], start=histograms[0]))
    assert summed.scores == whole.scores
    stack = ScoreHistogram.stack(histograms)
    assert diagram(stack).scores == whole.scores
    assert diagram(stack).observed.tolist() == whole.observed.tolist()
    each = calibration(stack)
    for name in CALIBRATION:
        assert each[name] == pytest.approx([calibration(h)[name] for h in histograms])


def test_images_that_differ_widen_the_interval():
    """200 images of 400 alike pixels: one image is one case, not 400."""
    rng = np.random.default_rng(6)
    histograms = [count_scores(np.full(400, rng.random() < 0.3), np.full(400, 0.3)) for _ in range(60)]
    stack = ScoreHistogram.stack(histograms)
    found = diagram(stack)
    share = float(found.observed[0])
    of_images = stats.binomtest(round(60 * share), 60).proportion_ci(0.95, "wilson")
    assert found.high[0] - found.low[0] == pytest.approx(of_images.high - of_images.low, rel=0.05)
    assert "60 groups" in found.note
    alone = diagram(histograms[0] + histograms[1])
    assert "independent" in alone.note


@pytest.mark.slow
@pytest.mark.parametrize("n_groups", [8, 20])
@pytest.mark.parametrize("alike", [2, 20, math.inf])
def test_intervals_of_groups_cover(n_groups, alike):
    """Groups whose own share is Beta-distributed round 0.4. Independent cases would cover in 15 to 95 %."""
    rng = np.random.default_rng(7)
    hit, n = 0, 150
    for _ in range(n):
        share = np.full(n_groups, 0.4) if alike == math.inf else rng.beta(0.4 * alike, 0.6 * alike, n_groups)
        truths = [rng.random(rng.integers(50, 200)) < q for q in share]
        found = diagram(ScoreHistogram.stack(count_scores(t, np.full(t.size, 0.4)) for t in truths))
        hit += found.low[0] <= 0.4 <= found.high[0]
    assert hit / n > 0.95 - 3 * math.sqrt(0.95 * 0.05 / n)


def test_no_cases_and_one():
    nothing = reliability(np.zeros(0, int), np.zeros(0))
    assert nothing.n.size == 0
    assert all(math.isnan(value) for value in nothing.scores.values())
    one = reliability(np.array([[1]]), np.array([[0.75]]))
    assert one.n.tolist() == [1]
    assert one.scores["ece"] == pytest.approx(0.25, abs=1e-5)


def test_bad_input_is_told():
    truth, stated = np.array([0, 1]), np.array([0.1, 0.9])
    with pytest.raises(OptionError, match="n_bins"):
        reliability(truth, stated, n_bins=0)
    with pytest.raises(OptionError, match="width"):
        reliability(truth, stated, bins="equal")
    with pytest.raises(OptionError, match="probabilities"):
        calibration(count_scores(truth, stated, highest=2))
    with pytest.raises(OptionError, match="level"):
        diagram(count_scores(truth, stated), level=95)
    with pytest.raises(ImageError, match="1 of 2"):
        reliability(truth, np.array([0.1, np.nan]))
    with pytest.raises(ShapeMismatchError, match="stack"):
        diagram(ScoreHistogram(np.zeros((1, 1, 65536)), np.zeros((1, 1, 65536))))


def test_risk_counted_on_paper():
    found = risk_coverage([0.2, 0.9, 0.5, 0.7], [1, 0, 0, 1])
    assert found.coverage.tolist() == [0.25, 0.5, 0.75, 1]
    assert found.threshold.tolist() == [0.9, 0.7, 0.5, 0.2]
    assert found.risk == pytest.approx([0, 1 / 2, 1 / 3, 2 / 4])
    assert found.best == pytest.approx([0, 0, 1 / 3, 2 / 4])
    assert found.aurc == pytest.approx((0 + 1 / 2 + 1 / 3 + 1 / 2) / 4)
    assert found.excess_aurc == pytest.approx(1 / 2 / 4)
    assert found.scores().keys() == RISK.keys()


@pytest.mark.parametrize("seed", range(6))
def test_ties_are_the_mean_of_all_orders(seed):
    rng = np.random.default_rng(seed)
    score, error = rng.integers(0, 3, 6), rng.random(6)
    found = risk_coverage(score, error)
    risks = []
    for order in itertools.permutations(range(6)):
        if (np.diff(score[list(order)]) <= 0).all():
            risks.append(np.cumsum(error[list(order)]) / np.arange(1, 7))
    assert found.risk == pytest.approx(np.mean(risks, axis=0))
    assert found.aurc == pytest.approx(np.mean(risks))


def test_laws_of_risk():
    rng = np.random.default_rng(0)
    score, error = rng.random(500), rng.random(500)
    found = risk_coverage(score, error)
    assert found.risk[-1] == pytest.approx(error.mean())
    assert risk_coverage(np.exp(3 * score), error).aurc == pytest.approx(found.aurc)  # only the order counts
    shuffled = rng.permutation(500)
    assert risk_coverage(score[shuffled], error[shuffled]).aurc == pytest.approx(found.aurc)
    assert risk_coverage(-error, error).excess_aurc == pytest.approx(0, abs=1e-12)
    assert risk_coverage(np.zeros(500), error).aurc == pytest.approx(error.mean())  # knows nothing
    assert risk_coverage(error, error).aurc > found.aurc > risk_coverage(-error, error).aurc
    # A filter that knows: error uniform in [0, u] gives risk c/2 at coverage c, on average 1/4.
    assert risk_coverage(-error, error).aurc == pytest.approx(0.25, abs=0.02)


def test_risk_of_nothing_and_bad_input():
    nothing = risk_coverage([], [])
    assert nothing.risk.size == 0
    assert math.isnan(nothing.aurc)
    assert risk_coverage([0.3], [1]).aurc == 1
    with pytest.raises(ShapeMismatchError):
        risk_coverage([0.1, 0.2], [1])
    with pytest.raises(ImageError, match="1 have a nan score and 0"):
        risk_coverage([0.1, np.nan], [1, 0])
    with pytest.raises(ImageError, match="0 have a nan score and 1"):
        risk_coverage([0.1, 0.2], [1, np.nan])
