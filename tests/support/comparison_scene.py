"""A comparison of five made-up methods on thirty made-up images: scores drawn from known laws, seeded."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pandas as pd

from segmetry.evaluate.comparison import Comparison, Rank
from segmetry.evaluate.dependence import Trend, trend
from segmetry.evaluate.paired import paired_difference
from segmetry.evaluate.scores import Score, table_of
from segmetry.evaluate.uncertain import mean_over_images

FAMILIES = {
    "instance": table_of(
        Score("ap50", "high", "TP / (TP + FP + FN) where a hit overlaps by IoU >= .5"),
        Score("map", "high", "the same, mean over IoU .5, .55, ... .95"),
        Score("pq", "high", "panoptic quality: sq times rq"),
    ),
    "physical": table_of(Score("d50_error", "zero", "relative error of D50")),
}
METHODS = {"hybrid": 0.80, "local": 0.79, "otsu": 0.66, "hybrid-literal": 0.62, "ndnt": 0.40}
"""True means of AP50; the first two are so near that thirty images do not tell them apart."""


def scene(n_images: int = 30, methods: dict[str, float] | None = None, *, seed: int = 7, **changes: Any) -> Comparison:
    """Return a comparison; fields can be changed."""
    methods = METHODS if methods is None else methods
    rng = np.random.default_rng(seed)
    images = [f"image-{i:03}" for i in range(n_images)]
    hard = rng.normal(0, 0.08, n_images)
    contrast = np.exp2(rng.uniform(-4, 0, n_images))
    rows, scores = [], {}
    for place, (method, mean) in enumerate(methods.items()):
        ap50 = np.clip(mean + hard + 0.02 * np.log2(contrast) + rng.normal(0, 0.04, n_images), 0, 1)
        own = {
            "instance.ap50": ap50,
            "instance.map": 0.7 * ap50,
            "instance.pq": 0.85 * ap50,
            "physical.d50_error": rng.normal(0.02 * place, 0.05, n_images),
            "cost.seconds": 0.03 * 3**place * rng.lognormal(0, 0.2, n_images),
            "cost.peak_memory": rng.uniform(80, 120, n_images) * (1 + place),
            "cost.megapixels": np.full(n_images, 0.35),
        }
        scores[method] = own
        for key, values in own.items():
            family, _, name = key.partition(".")
            rows += [(method, image, image, family, name, v) for image, v in zip(images, values, strict=True)]
    table = pd.DataFrame(rows, columns=["method", "image", "group", "family", "score", "value"])
    shown = [k for k in next(iter(scores.values()), {}) if not k.startswith("cost.")]
    estimates = {
        m: mean_over_images({k: own[k] for k in shown}, bounds={k: (0, 1) for k in shown if k.startswith("instance.")})
        for m, own in scores.items()
    }
    order = sorted(scores, key=lambda m: -estimates[m]["instance.ap50"].value)
    ranks, tier, before = [], 1, None
    for place, method in enumerate(order, 1):
        values = scores[method]["instance.ap50"]
        if before is not None:
            step = paired_difference(before, values).estimate
            tier += int(not step.low <= 0 <= step.high)
        best = scores[order[0]]["instance.ap50"]
        to_best = paired_difference(best, values, name=f"{method} - {order[0]}") if place > 1 else None
        ranks.append(Rank(method, place, tier, estimates[method]["instance.ap50"], to_best))
        before = values
    comparison = Comparison(
        methods=tuple(order), kind="instance", ranked_by="instance.ap50", table=table, objects=pd.DataFrame(),
        estimates=estimates, ranking=tuple(ranks), trends=_trends(scores, contrast), groups="image",
        n_images=n_images, n_groups=n_images,
        failures=(("ndnt", "image-003", "image-003.png: the filter is larger than the image; take a smaller one."),),
        notes=("the images are made up.",),
    )  # fmt: skip
    return dataclasses.replace(comparison, **changes)


def labels(seed: int = 0, side: int = 120) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return an image of squares, their labels, and a prediction that is shifted and lacks one."""
    rng = np.random.default_rng(seed)
    truth = np.zeros((side, side), np.int32)
    for label, (row, col) in enumerate([(10, 10), (10, 60), (60, 10), (60, 60), (90, 90)], 1):
        truth[row : row + 20, col : col + 20] = label
    prediction = np.roll(truth, 3, axis=1)
    prediction[prediction == 2] = 0
    pixels = (np.where(truth > 0, 70, 180) + rng.normal(0, 8, truth.shape)).clip(0, 255).astype(np.uint8)
    return pixels, truth, prediction


def outcomes() -> pd.DataFrame:
    """Return what became of the objects of `labels`, by eye."""
    return pd.DataFrame(
        {
            "truth": [1, 2, 3, 4, 5],
            "prediction": [1, 0, 3, 4, 5],
            "outcome": ["found", "missed", "found", "found", "found"],
        }
    )


def _trends(scores: dict[str, Any], contrast: np.ndarray) -> dict[str, tuple[Trend, ...]]:
    return {
        m: (trend(own["instance.ap50"], contrast, name="AP50", against_name="contrast", n_resamples=200),)
        for m, own in scores.items()
    }
