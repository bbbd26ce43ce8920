"""What the threshold on the score does: curves, a choice that is judged on other images, promises, reliability."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.evaluate.promise import ALPHAS, Promise, promise_table
from segmetry.evaluate.ranking import ScoreHistogram, count_scores
from segmetry.evaluate.reliability import Reliability, diagram
from segmetry.evaluate.score_map import ScoreMap, calibrate_scores
from segmetry.evaluate.scored import ScoredImage, shares
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.study.sweep import THRESHOLDS, Sweep, bounds_of_scores
from segmetry.train.splits import folds
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

N_FOLDS = 5
"""Parts by group: what is chosen on all but one is judged on that one."""

MAX_HISTOGRAMS = 128
"""Histograms of scores that are held at once, a MiB each: of more groups several are taken together."""

HEADLINE = "instance.ap50"
SOFT_FOUR = tuple(f"published_emps.{name}" for name in ("ap", "ap50", "ap75", "mean_iou"))
"""Figures of the published protocol."""

SOFT = (
    "These four are soft: three of them count only what was predicted, so a missed particle costs nothing, and ap is 1 "
    "for a single object that covers the image; read them beside the recall."
)
"""What is always said with the published figures."""


@dataclass(frozen=True)
class Choice:
    """A threshold that was chosen by a score, and what it gives on images that had no part in choosing.

    Parameters
    ----------
    by : tuple of str
        Full names of the scores whose mean was made as large as can be.
    threshold : float
        Chosen on all images: the one to use.
    of_folds : tuple of float
        Chosen on all folds but one, in turn; empty where there are too few groups to hold any out.
    held_out : dict of str to Estimate
        Scores of every image at the threshold that the other folds chose.
    same : dict of str to Estimate
        Scores at `threshold` on the images that chose it: too good, if by little.
    """

    by: tuple[str, ...]
    threshold: float
    of_folds: tuple[float, ...]
    held_out: Mapping[str, Estimate]
    same: Mapping[str, Estimate]

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "by": list(self.by),
            "threshold": self.threshold,
            "threshold_of_folds": list(self.of_folds),
            "held_out": {name: e.as_dict() for name, e in self.held_out.items()},
            "same_images": {name: e.as_dict() for name, e in self.same.items()},
        }


@dataclass(frozen=True)
class Tried:
    """A promise, and what the same promise, made on the other folds, gave on each fold.

    Parameters
    ----------
    promise : Promise
        From all images.
    seen : Estimate or None
        Mean over groups of the share that was promised to be small, on groups that had no part in the calibration;
        None where no fold could be promised anything.
    n_without : int
        Folds for which the others could promise nothing.
    """

    promise: Promise
    seen: Estimate | None
    n_without: int

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        seen = self.seen.as_dict() if self.seen else None
        sentence = self.promise.sentence
        return self.promise.as_dict() | {"sentence": sentence, "on_other_folds": seen, "folds_without": self.n_without}


@dataclass(frozen=True, eq=False)
class ThresholdStudy:
    """Everything that a sweep of the threshold says.

    Parameters
    ----------
    method : mapping
        The record of the method, as data.
    sweep : Sweep
    groups : str
        What the groups are called; ``"image"`` where each image is its own.
    n_groups : int
    curve : DataFrame
        One row a threshold and score: ``threshold, family, score, value, low, high, level, n, note``.
    best, precise : Choice
        By AP50, and by the mean of the four published figures.
    promises : tuple of Tried
    score_map : ScoreMap or None
        From the score to the chance of being right, made from all particles; None without any.
    stated, calibrated : Reliability or None
        Of the scores as the method states them, and of chances from maps that were made on other folds.
    notes : tuple of str
    """

    method: Mapping[str, Any]
    sweep: Sweep
    groups: str
    n_groups: int
    curve: pd.DataFrame
    best: Choice
    precise: Choice
    promises: tuple[Tried, ...]
    score_map: ScoreMap | None
    stated: Reliability | None
    calibrated: Reliability | None
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "segmetry": segmetry.__version__,
            "study": "threshold",
            "method": dict(self.method),
            "n_images": len(self.sweep.names),
            "n_groups": self.n_groups,
            "groups": self.groups,
            "n_particles": sum(one.scores.size for one in self.sweep.objects),
            "thresholds": list(THRESHOLDS),
            "best": self.best.as_dict(),
            "precise": self.precise.as_dict() | {"why_soft": SOFT},
            "promises": [one.as_dict() for one in self.promises],
            "score_map": self.score_map.as_dict() if self.score_map else None,
            "reliability": {
                name: of and {k: getattr(of, k) for k in ("predicted", "observed", "low", "high", "n", "scores")}
                for name, of in (("stated", self.stated), ("calibrated", self.calibrated))
            },
            "failures": [{"image": image, "error": error} for image, error in self.sweep.failures],
            "notes": list(self.notes),
        }


def study_threshold(
    sweep: Sweep, *, method: Mapping[str, Any], group_name: str = "", notes: Sequence[str] = (), seed: int = 0
) -> ThresholdStudy:
    """Return what a sweep says.

    Parameters
    ----------
    sweep : Sweep
        Its groups are those of its objects; a group is never parted.
    method : mapping
        The record of the method, as data.
    group_name : str
        What the groups are called; empty where each image is its own.
    notes : sequence of str
        What is to be said beside.
    seed : int
        Of the bootstrap.

    Notes
    -----
    A threshold that is chosen on the images that it is judged on looks better than it is. So the groups are dealt into
    five folds; on four the threshold with the largest mean is taken (the lowest of equals), and its scores on the fifth
    are kept. Of all images together these are the honest figures, those that a threshold chosen on so many images gets
    on new ones.
    """
    of_image = [one.group for one in sweep.objects]
    fold = fold_of(of_image)
    unit = group_name or "image"
    return ThresholdStudy(
        dict(method),
        sweep,
        unit,
        len(set(of_image)),
        curve_table(sweep, seed=seed),
        choose(sweep, (HEADLINE,), fold, seed=seed),
        choose(sweep, SOFT_FOUR if SOFT_FOUR[0] in sweep.values else (HEADLINE,), fold, seed=seed),
        try_promises(sweep.objects, fold, unit=unit, seed=seed),
        *_reliabilities(sweep.objects, fold),
        tuple(notes),
    )


def fold_of(groups: Sequence[str]) -> np.ndarray:
    """Return the fold of each image, whole groups in one; all 0 where there is one group only."""
    return folds(groups, max(1, min(N_FOLDS, len(set(groups)))))


def curve_table(sweep: Sweep, *, seed: int = 0) -> pd.DataFrame:
    """Return the mean over images of every score at every threshold, with its interval."""
    import pandas as pd

    groups = [one.group for one in sweep.objects]
    bounds = bounds_of_scores(list(sweep.values))
    flat = {(k, name): table[:, k] for name, table in sweep.values.items() for k in range(len(THRESHOLDS))}
    words = {f"{k}|{name}": (k, name) for k, name in flat}
    found = mean_over_images(
        {word: flat[key] for word, key in words.items()},
        groups=groups,
        bounds={word: bounds[name] for word, (_, name) in words.items()},
        seed=seed,
    )
    rows = []
    for word, (k, name) in sorted(words.items(), key=lambda item: item[1][0]):
        e, (family, score) = found[word], name.split(".", 1)
        rows.append((THRESHOLDS[k], family, score, e.value, e.low, e.high, e.level, e.n, e.note))
    names = ["threshold", "family", "score", "value", "low", "high", "level", "n", "note"]
    return pd.DataFrame(rows, columns=names)


def choose(sweep: Sweep, by: Sequence[str], fold: np.ndarray, *, seed: int = 0) -> Choice:
    """Return the threshold with the largest mean of some scores, and its scores on folds that did not choose it.

    Parameters
    ----------
    sweep : Sweep
    by : sequence of str
        Full names of scores that no image lacks.
    fold : (n,) array of int
        Of each image.
    """
    goal = _goal(sweep, by)
    on_all = int(np.argmax(goal.mean(axis=0)))
    at = pick_on_others(sweep, by, fold)
    apart = np.unique(fold).size > 1
    of_folds = [THRESHOLDS[at[fold == k][0]] for k in np.unique(fold)] if apart else []
    held_out = scores_at(sweep, at, seed=seed) if apart else {}
    same = scores_at(sweep, np.full(len(fold), on_all), seed=seed)
    return Choice(tuple(by), THRESHOLDS[on_all], tuple(of_folds), held_out, same)


def pick_on_others(sweep: Sweep, by: Sequence[str], fold: np.ndarray) -> np.ndarray:
    """Return for each image the place in `THRESHOLDS` that the other folds choose; of one fold, what itself chooses."""
    goal = _goal(sweep, by)
    names = np.unique(fold)
    if names.size == 1:
        return np.full(len(fold), int(np.argmax(goal.mean(axis=0))))
    chosen = np.array([np.argmax(goal[fold != k].mean(axis=0)) for k in names])
    return chosen[np.searchsorted(names, fold)]


def _goal(sweep: Sweep, by: Sequence[str]) -> np.ndarray:
    return np.mean([sweep.values[name] for name in by], axis=0)  # (n, T)


def values_at(sweep: Sweep, at: np.ndarray) -> dict[str, np.ndarray]:
    """Return every score of every image at its own threshold, ``THRESHOLDS[at]``."""
    image = np.arange(len(at))
    return {name: table[image, at] for name, table in sweep.values.items()}


def scores_at(sweep: Sweep, at: np.ndarray, *, seed: int = 0) -> dict[str, Estimate]:
    """Return means over images with each image at its own threshold, ``THRESHOLDS[at]``."""
    groups = [one.group for one in sweep.objects]
    return mean_over_images(values_at(sweep, at), groups=groups, bounds=bounds_of_scores(list(sweep.values)), seed=seed)


def try_promises(
    images: Sequence[ScoredImage], fold: np.ndarray, *, unit: str, alphas: Sequence[float] = ALPHAS, seed: int = 0
) -> tuple[Tried, ...]:
    """Return promises from all images, each with what the same promise from the other folds gave on every fold."""
    promises = promise_table(images, alphas=alphas, unit=unit)
    names = np.unique(fold)
    losses: list[list[float]] = [[] for _ in promises]
    n_without = [0] * len(promises)
    for k in names if names.size > 1 else ():
        here = [one for one, f in zip(images, fold, strict=True) if f == k]
        there = [one for one, f in zip(images, fold, strict=True) if f != k]
        for i, promise in enumerate(promise_table(there, alphas=alphas, unit=unit)):
            if promise.threshold is None:
                n_without[i] += 1
                continue
            found = shares(here, np.array([promise.threshold]))
            losses[i] += (found.false if promise.kind == "false" else found.missed)[:, 0].tolist()
    means = [mean_over_images(one, bounds=(0, 1), seed=seed) if one else None for one in losses]
    named = [
        m and dataclasses.replace(m, name=f"{p.kind} share", method=f"mean over {unit}s; {m.method.partition('; ')[2]}")
        for m, p in zip(means, promises, strict=True)
    ]
    return tuple(Tried(p, m, n) for p, m, n in zip(promises, named, n_without, strict=True))


def _reliabilities(
    images: Sequence[ScoredImage], fold: np.ndarray
) -> tuple[ScoreMap | None, Reliability | None, Reliability | None]:
    """Return the map to chances, and how far scores, and chances from maps of other folds, are what they say."""
    scores, right = (np.concatenate([getattr(one, k) for one in images]) for k in ("scores", "right"))
    if not scores.size:
        return None, None, None
    groups = np.repeat([one.group for one in images], [one.scores.size for one in images])
    of_particle = np.repeat(fold, [one.scores.size for one in images])
    made = calibrate_scores(scores, right, list(groups))
    stated = _diagram(scores, right, groups)
    chance = np.full(scores.size, np.nan)
    for k in np.unique(fold):
        here = of_particle == k
        if here.any() and not here.all():
            chance[here] = calibrate_scores(scores[~here], right[~here], list(groups[~here])).apply(scores[here])
    known = np.isfinite(chance)
    return made, stated, _diagram(chance[known], right[known], groups[known]) if known.any() else None


def _diagram(chance: np.ndarray, right: np.ndarray, groups: np.ndarray) -> Reliability:
    _, code = np.unique(groups, return_inverse=True)
    code %= MAX_HISTOGRAMS
    parts = [count_scores(right[code == g], chance[code == g]) for g in np.unique(code)]
    return diagram(ScoreHistogram.stack(parts), n_bins=10)
