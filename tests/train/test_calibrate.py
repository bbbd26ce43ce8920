"""Calibration of a model on scored images: by hand, and what it means on simulated scores."""

import dataclasses

import cv2
import numpy as np
import pytest
from drawn_disks import CENTRES, RADII, disks

from segmetry import Image
from segmetry.evaluate.score_map import ScoreMap
from segmetry.evaluate.scored import ScoredImage
from segmetry.io.model_folder import read_card, shipped_models
from segmetry.segment import segment
from segmetry.train.calibrate import Scored, best_threshold, calibration, score_examples
from segmetry.train.data import Example


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
    post = calibration([Scored(s, shift, "a") for s, shift in zip(simulated(200, 0), shifts)])
    assert post["border"] == pytest.approx(0.8, rel=0.15)  # of 200 normal shifts
    score_map = ScoreMap.from_dict(post["score_map"])
    raw = np.linspace(0.4, 0.95, 12)
    np.testing.assert_allclose(score_map.apply(raw), raw**2, atol=0.05)
    assert post["calibrated_on"] == post["promised_on"] == {"images": 200, "groups": 100, "models": ["a"]}
    # Of particles of chance p, keeping them pays where p beats the share of the union that is right.
    assert 0.2 < post["threshold"] < 0.6
    alphas = [p["alpha"] for p in post["promises"] if p["kind"] == "false" and p["threshold"] is not None]
    assert 0.2 in alphas


def test_promises_rest_on_more_than_the_rest_of_the_card():
    """What another model found has a part in the promises alone."""
    own = [Scored(s, 0.4, "own") for s in simulated(60, 0)]
    # Another scale of scores, and wider borders: seen at once if it were mixed in.
    others = [
        Scored(dataclasses.replace(s, scores=s.scores / 2, group=f"other-{s.group}"), 3.0, "other")
        for s in simulated(80, 1)
    ]
    alone, pooled = calibration(own), calibration(own, promised=own + others)
    for name in ("passes", "border", "score_map", "threshold", "calibrated_on"):
        assert pooled[name] == alone[name]
    assert pooled["promises"] == calibration(own + others)["promises"] != alone["promises"]
    assert {p["n_images"] for p in pooled["promises"]} == {140}
    # Chances are each model's own, so halved scores are worth as much; mixed in as they are they would not be.
    halved = [r._replace(image=dataclasses.replace(r.image, scores=r.image.scores * 2)) for r in others]
    assert pooled["count"] == calibration(own, promised=own + halved)["count"]
    assert (pooled["count"]["n_images"], pooled["count"]["n_groups"]) == (140, 70)
    assert alone["count"]["n_images"] == 60
    assert pooled["calibrated_on"] == {"images": 60, "groups": 30, "models": ["own"]}
    assert pooled["promised_on"] == {"images": 140, "groups": 70, "models": ["own", "other"]}


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


@pytest.fixture(scope="module")
def covered():
    """Five disks, one of them below a plate with a drawn disk, and the mask of the plate."""
    pixels, labels = disks(CENTRES, RADII)
    hidden = np.zeros(labels.shape, bool)
    hidden[10:52, 8:60] = True
    pixels[hidden] = 255
    cv2.circle(pixels, (42, 34), 9, 0, cv2.FILLED)
    return pixels, labels.astype(np.uint16), hidden


def test_calibration_sees_what_the_method_sees(covered):
    """The same particles, with scores that its map turns into the method's chances."""
    pixels, labels, hidden = covered
    model = shipped_models()["particles"]
    (scored,) = score_examples(model, [Example("disks", "one", pixels, labels, hidden)])
    found = segment(Image(pixels, ignore=hidden), "particles", options={"refine": False, "threshold": 0})
    score_map = ScoreMap.from_dict(read_card(model).post["score_map"])
    np.testing.assert_allclose(score_map.apply(scored.image.scores), found.scores, atol=1e-6)
    # What is drawn is no particle, and the one below it was missed: labels are judged whole.
    assert (scored.image.right.tolist(), scored.image.n_truth) == ([True] * 4, 5)
    (seen,) = score_examples(model, [Example("disks", "one", pixels, labels)])
    assert seen.image.scores.size > 4, "without the mask the drawn disk is one"


def test_a_blank_image_has_no_particle_to_score():
    blank = Example("blank", "one", np.full((60, 60), 7, np.uint8), np.eye(60, dtype=np.uint16))
    (scored,) = score_examples(shipped_models()["particles"], [blank])
    assert (scored.image.scores.size, scored.image.n_truth) == (0, 1)
    assert np.isnan(scored.border)
    assert set(calibration([scored])) == {"passes"}


def test_nothing_right_says_nothing_of_the_border():
    wrong = [ScoredImage(np.array([0.5, 0.9]), np.array([False, False]), 3, f"paper-{i}") for i in range(4)]
    post = calibration([Scored(s, np.nan, "a") for s in wrong])
    assert "border" not in post
    assert "threshold" in post
