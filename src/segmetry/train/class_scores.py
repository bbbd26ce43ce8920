"""How good a network for classes is on whole images: the scores of an epoch, pooled over all pixels."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from segmetry.evaluate.boundary import BoundaryCounts, boundary_counts
from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.semantic import SemanticCounts, count_classes


class Judged(NamedTuple):
    """Counts of one image, or of several: they add up.

    Parameters
    ----------
    counts : SemanticCounts
        Pixels by true and found class.
    edges : BoundaryCounts
        One entry for each class but the first.
    ranks : tuple of ScoreHistogram
        Of the second class where there are two, else of every class against the rest.
    miss : float
        Sum over the pixels of one minus the probability of the true class.
    """

    counts: SemanticCounts
    edges: BoundaryCounts
    ranks: tuple[ScoreHistogram, ...]
    miss: float


def judge_classes(
    truth: np.ndarray, probability: np.ndarray, classes: Sequence[str], *, ignored: np.ndarray | None = None
) -> Judged:
    """Return the counts of one image.

    Parameters
    ----------
    truth : (*S) array of int
        Class of each pixel.
    probability : (K, *S) array of float
        Of each class.
    classes : sequence of str
        Their names.
    ignored : (*S) array of bool, optional
        True where nobody knows the truth.
    """
    known = np.ones(truth.shape, bool) if ignored is None else ~ignored
    truth = np.where(known, truth, 0).astype(np.uint8)
    found = probability.argmax(axis=0).astype(np.uint8)
    which = range(1, len(classes))
    ranked = which if len(classes) == 2 else range(len(classes))
    true_one = np.take_along_axis(probability, truth[None].astype(np.intp), axis=0)[0]
    return Judged(
        count_classes(truth, found, classes=classes, ignore=ignored),
        boundary_counts(truth, found, tolerance=2.0, classes=which, ignore=ignored),
        tuple(count_scores(truth == k, np.clip(probability[k], 0, 1), ignore=ignored) for k in ranked),
        float((1 - true_one[known]).sum(dtype=np.float64)),
    )


def pool(each: Iterable[Judged]) -> Judged:
    """Return the counts of all images together."""
    first, *others = each
    for one in others:
        first = Judged(
            first.counts + one.counts,
            first.edges + one.edges,
            tuple(a + b for a, b in zip(first.ranks, one.ranks, strict=True)),
            first.miss + one.miss,
        )
    return first


def scores(judged: Judged) -> dict[str, float]:
    """Return the scores of counts.

    Returns
    -------
    scores : dict of float
        ``accuracy``, ``precision``, ``recall`` (of the second class where there are two, else means over classes),
        ``mean_iou``, ``iou[class]`` of each class, ``auc`` (mean over classes), ``mae`` (mean of one minus the
        probability of the true class), ``boundary_f1`` (2 px; mean over all classes but the first), and the pixels
        ``tp``, ``fp``, ``tn``, ``fn`` of the second class where there are two, else of each, as ``tp[class]``. What is
        of no pixel is left out.
    """
    counts = judged.counts
    told = counts.scores()
    out = {name: told[name] for name in ("accuracy", "precision", "recall", "mean_iou")}
    iou = counts.per_class()["iou"]
    out |= {f"iou[{name}]": value for name, value in zip(counts.names, iou, strict=True)}
    areas = [float(rank.roc_auc()) for rank in judged.ranks]
    out["auc"] = float(np.nanmean(areas)) if np.isfinite(areas).any() else math.nan
    out["mae"] = judged.miss / max(int(counts.confusion.sum()), 1)
    out["boundary_f1"] = judged.edges.class_means()["f1"]
    told_of = {1: ""} if len(counts.names) == 2 else {k: f"[{name}]" for k, name in enumerate(counts.names)}
    for k, of in told_of.items():
        tp, found, true = counts.confusion[k, k], counts.confusion[:, k].sum(), counts.confusion[k].sum()
        tn = counts.confusion.sum() - found - true + tp
        out |= {f"tp{of}": tp, f"fp{of}": found - tp, f"tn{of}": tn, f"fn{of}": true - tp}
    plain: dict[str, Any] = {name: _plain(value) for name, value in out.items()}
    return {name: value for name, value in plain.items() if math.isfinite(value)}


def _plain(value: Any) -> float | int:
    return int(value) if isinstance(value, np.integer) else round(float(value), 5)
