"""Calibration of a particle model on images that it has not seen: scores that are chances, thresholds that promise."""

from __future__ import annotations

import dataclasses
import math
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from segmetry.evaluate.count_doubt import calibrate_count
from segmetry.evaluate.instances import match
from segmetry.evaluate.promise import promise_table
from segmetry.evaluate.score_map import ScoreMap, calibrate_scores
from segmetry.evaluate.scored import ScoredImage, score_image
from segmetry.io.model_folder import read_model_folder, write_model_folder
from segmetry.segment import segment
from segmetry.segment.particles import Particles
from segmetry.train.data import Example
from segmetry.types import Image

SEARCH: Mapping[str, Any] = MappingProxyType({"passes": {"seed_threshold": 0.6}})
"""How a card has the method search: doubtful particles too, since a threshold can only drop what was found."""


class Scored(NamedTuple):
    """All that may be a particle in an image, and how far its contours lie off.

    Parameters
    ----------
    image : ScoredImage
        Raw scores, and which particles are right.
    border : float
        Mean over the right particles of found minus true equivalent radius, in px of the network's input; nan where
        none is right.
    model : str
        SHA-256 of the network that scored it.
    """

    image: ScoredImage
    border: float
    model: str


def score_examples(model: Path, examples: Iterable[Example]) -> list[Scored]:
    """Return what the method `particles` finds in images with a model, all that may be one, held against their labels.

    Parameters
    ----------
    model : Path
        A model's folder; what its card says of thresholds has no part in this.
    examples : iterable of Example

    Notes
    -----
    The method itself is run, with its defaults and contours as the network draws them: text is masked, and what lies
    mostly below it is dropped. The labels are judged whole, as `segmetry.evaluate.judgement.judge` does: a true
    particle that letters hide is one that was missed.
    """
    read = read_model_folder(model)
    with tempfile.TemporaryDirectory() as work:
        raw = Path(work) / "model"
        write_model_folder(raw, dataclasses.replace(read.card, post=SEARCH), read.onnx)
        method = Particles(model=str(raw), refine=False)
        return [_score(method, e, read.card.sha256) for e in examples]


def _score(method: Particles, e: Example, model: str) -> Scored:
    truth = e.labels.astype(np.int32)
    found = segment(Image(e.pixels, name=e.name, ignore=e.ignore), method)
    scores = found.scores if found.scores is not None else ()  # a blank image
    image = score_image(truth, found.labels, scores, group=e.group)
    return Scored(image, found.info.get("zoom", math.nan) * _border_shift(truth, found.labels), model)


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


def calibration(results: Sequence[Scored], *, promised: Sequence[Scored] | None = None) -> dict[str, Any]:
    """Return what a model's card says of thresholds: map of scores, best threshold, promises.

    Parameters
    ----------
    results : sequence of Scored
        Of images that the model (or, in cross-validation, the model that scored them) was not trained on.
    promised : sequence of Scored, optional
        What the promises rest on; `results` unless told. More publications can promise more: those that a model of the
        same recipe has not seen, scored by that one, can stand beside `results`.

    Returns
    -------
    post : dict
        How the method searches (`SEARCH`), and where anything was found: ``score_map``, raw score to chance of being
        right; ``threshold``, the chance from which on particles are kept (best mean TP / (TP + FP + FN) over the
        images); ``border``, standard uncertainty of a shift that all contours of an image share (px of the network's
        input): a 1.96th of what 95 % of the images stay below, left out where nothing is right; ``promises`` on raw
        scores; ``count``, see `calibrate_count`, left out where the groups are too few; and the images, groups and
        models that these rest on, ``calibrated_on`` and, promises and count, ``promised_on``.
    """
    promised = results if promised is None else promised
    if not any(r.image.scores.size for r in results):
        return dict(SEARCH)
    score_map, _, threshold = chances([r.image for r in results])
    shifts = [abs(r.border) for r in results if math.isfinite(r.border)]
    border = {"border": round(float(np.quantile(shifts, 0.95)) / 1.96, 3)} if shifts else {}
    return {
        **SEARCH,
        **border,
        "score_map": score_map.as_dict(),
        "threshold": threshold,
        "promises": [p.as_dict() for p in promise_table([r.image for r in promised])],
        **_count(promised),
        "calibrated_on": _origin(results),
        "promised_on": _origin(promised),
    }


def chances(scored: Sequence[ScoredImage]) -> tuple[ScoreMap, list[ScoredImage], float]:
    """Return the map of a model's raw scores to chances, images with these, and the best threshold on them."""
    scores, right = (np.concatenate([getattr(s, name) for s in scored]) for name in ("scores", "right"))
    score_map = calibrate_scores(scores, right, [s.group for s in scored for _ in range(s.scores.size)])
    told = [dataclasses.replace(s, scores=score_map.apply(s.scores)) for s in scored]
    return score_map, told, best_threshold(told)


def _count(results: Sequence[Scored]) -> dict[str, Any]:
    """Return how far counts are off, each model with its own chances and threshold; nothing where it cannot be told."""
    told: list[ScoredImage] = []
    found: list[int] = []
    for model in dict.fromkeys(r.model for r in results):
        scored = [r.image for r in results if r.model == model]
        if any(s.scores.size for s in scored):
            _, sure, threshold = chances(scored)
            told += sure
            found += [int((s.scores >= threshold).sum()) for s in sure]
    doubt = calibrate_count(told, found)
    return {"count": {name: round(value, 4) for name, value in doubt.as_dict().items()}} if doubt else {}


def _origin(results: Sequence[Scored]) -> dict[str, Any]:
    """Return how many images and groups were scored, and by which models."""
    return {
        "images": len(results),
        "groups": len({r.image.group for r in results}),
        "models": list(dict.fromkeys(r.model for r in results)),
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
