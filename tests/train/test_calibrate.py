"""Calibration of a model on scored images: by hand, and what it means on simulated scores."""

import numpy as np
import pytest

from segmetry.evaluate.score_map import ScoreMap
from segmetry.evaluate.scored import ScoredImage
from segmetry.train.calibrate import Scored, best_threshold, calibration


def test_best_threshold_by_hand():
    # Kept from .3: 2 of 3 right, 1 of 3 true missed: 2 / 4. From .6: 2 / 3. From .8: 1 / 3.
    one = ScoredImage(np.array([0.4, 0.7, 0.9]), np.array([False, True, True]), 3, "a")
    assert 0.4 < best_threshold([one]) <= 0.7
    # An image without particles in which something doubtful was found counts 1 as soon as that is dropped.
    none = ScoredImage(np.array([0.8]), np.array([False]), 0, "b")
    assert best_threshold([none]) > 0.8


def simulated(n_images, seed):
    """Scores whose square is the chance to be right: a raw score that is too sure of itself."""
    rng = np.random.default_rng(seed)
    images = []
    for i in range(n_images):
        scores = rng.uniform(0.3, 1, rng.integers(5, 60))
        right = rng.random(scores.size) < scores**2
        images.append(ScoredImage(scores, right, int(right.sum()) + int(rng.integers(0, 3)), f"paper-{i // 2}"))
    return images


def test_scores_become_chances():
    shifts = np.random.default_rng(1).normal(0, 0.8, 200)
    post = calibration([Scored(s, shift) for s, shift in zip(simulated(200, 0), shifts)])
    assert post["border"] == pytest.approx(0.8, rel=0.15)  # of 200 normal shifts
    score_map = ScoreMap.from_dict(post["score_map"])
    raw = np.linspace(0.4, 0.95, 12)
    np.testing.assert_allclose(score_map.apply(raw), raw**2, atol=0.05)
    assert post["calibrated_on"] == {"images": 200, "groups": 100}
    # Of particles of chance p, keeping them pays where p beats the share of the union that is right.
    assert 0.2 < post["threshold"] < 0.6
    alphas = [p["alpha"] for p in post["promises"] if p["kind"] == "false" and p["threshold"] is not None]
    assert 0.2 in alphas


@pytest.mark.parametrize("seed", range(3))
def test_the_threshold_is_the_best_of_all(seed):
    scored = simulated(60, seed)

    def mean_ap(level):
        values = []
        for s in scored:
            kept = s.scores >= level
            hits = (kept & s.right).sum()
            values.append(hits / (kept.sum() + s.n_truth - hits))
        return np.mean(values)

    best = mean_ap(best_threshold(scored))
    assert best == pytest.approx(max(mean_ap(level) for level in np.arange(1, 100) / 100), abs=1e-12)
