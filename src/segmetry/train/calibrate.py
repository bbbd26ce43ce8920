"""Calibration of a particle model on images that it has not seen: scores that are chances, thresholds that promise."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from segmetry.evaluate.instances import match
from segmetry.evaluate.promise import promise_table
from segmetry.evaluate.score_map import calibrate_scores
from segmetry.evaluate.scored import ScoredImage, score_image
from segmetry.segment.engine import Model
from segmetry.segment.particles import candidates
from segmetry.segment.pyramid import Passes
from segmetry.train.data import Example

SEARCH = Passes(seed_threshold=0.6)
"""Calibration looks at doubtful particles too: a threshold can only drop what was found."""


class Scored(NamedTuple):
    """All that may be a particle in an image, and how far its contours lie off.

    Parameters
    ----------
    image : ScoredImage
        Raw scores, and which particles are right.
    border : float
        Mean over the right particles of found minus true equivalent radius, in px of the network's input; nan where
        none is right.
    """

    image: ScoredImage
    border: float


def score_examples(model: Model, examples: Iterable[Example], passes: Passes = SEARCH) -> list[Scored]:
    """Return what a model finds in images, all that may be a particle, held against their labels."""
    scored = []
    for e in examples:
        truth = e.labels.astype(np.int32)
        found, zoom = candidates(model, e.pixels, passes=passes)
        image = score_image(truth, found.labels, found.score, group=e.group)
        scored.append(Scored(image, zoom * _border_shift(truth, found.labels)))
    return scored


def _border_shift(truth: np.ndarray, prediction: np.ndarray) -> float:
    """Return the mean over matched particles of the difference of their equivalent radii, in px."""
    pairs = match(truth, prediction, threshold=0.5)
    if not pairs.truth.size:
        return math.nan
    true, found = (
        np.sqrt(np.bincount(labels.ravel())[which] / math.pi)
        for labels, which in ((truth, pairs.truth), (prediction, pairs.prediction))
    )
    return float(np.mean(found - true))


def calibration(results: Sequence[Scored], passes: Passes = SEARCH) -> dict[str, Any]:
    """Return what a model's card says of thresholds: map of scores, best threshold, promises.

    Parameters
    ----------
    results : sequence of Scored
        Of images that the model (or, in cross-validation, the model that scored them) was not trained on.
    passes : Passes
        How they were searched; the method searches in the same way.

    Returns
    -------
    post : dict
        ``passes``, and where anything was found: ``score_map``, raw score to chance of being right; ``threshold``, the
        chance from which on particles are kept (best mean TP / (TP + FP + FN) over the images); ``promises`` on raw
        scores; ``border``, standard uncertainty of a shift that all contours of an image share (px of the network's
        input): a 1.96th of what 95 % of the images stay below; and what it rests on.
    """
    scored = [r.image for r in results]
    scores, right = (np.concatenate([getattr(s, name) for s in scored]) for name in ("scores", "right"))
    base: dict[str, Any] = {"passes": {"seed_threshold": passes.seed_threshold}}
    if not scores.size:
        return base
    groups = [s.group for s in scored for _ in range(s.scores.size)]
    score_map = calibrate_scores(scores, right, groups)
    return base | {
        "score_map": score_map.as_dict(),
        "threshold": best_threshold([dataclasses.replace(s, scores=score_map.apply(s.scores)) for s in scored]),
        "border": round(float(np.nanquantile([abs(r.border) for r in results], 0.95)) / 1.96, 3),
        "promises": [p.as_dict() for p in promise_table(scored)],
        "calibrated_on": {"images": len(scored), "groups": len({s.group for s in scored})},
    }


def best_threshold(scored: Sequence[ScoredImage]) -> float:
    """Return the threshold of the largest mean TP / (TP + FP + FN), in steps of .01; of equals, the middle one."""
    levels = np.arange(1, 100) / 100
    mean = np.zeros(levels.size)
    for s in scored:
        kept = s.scores[:, None] >= levels
        n_kept, n_right = kept.sum(axis=0), (kept & s.right[:, None]).sum(axis=0)
        union = n_kept + s.n_truth - n_right
        mean += np.where(union > 0, n_right / np.maximum(union, 1), 1.0)
    best = np.flatnonzero(mean >= mean.max() - 1e-9)
    return float(levels[best[best.size // 2]])
