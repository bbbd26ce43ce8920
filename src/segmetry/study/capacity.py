"""How good a network gets from so many training images: nested draws, trainings that go on, and where it levels off."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.batch import describe_error, run
from segmetry.errors import OptionError
from segmetry.evaluate.paired import paired_difference
from segmetry.evaluate.uncertain import mean_over_images
from segmetry.io.json_file import write_json
from segmetry.recipe import Recipe
from segmetry.study.sweep import Sweep, SweepWork, bounds_of_scores, load_sweep
from segmetry.study.threshold import HEADLINE, fold_of, pick_on_others, values_at
from segmetry.train.splits import folds
from segmetry.trials import Trial
from segmetry.types import Estimate

if TYPE_CHECKING:
    import pandas as pd

LEAST_GAIN = 0.01
"""A mean gain of AP50 below this is too small to label images for."""

Trainer = Callable[["Step", Path], Path]
"""Trains on the images of a step in a folder, goes on where it was stopped, and returns the model's folder."""


class OutOfTimeError(Exception):
    """The time that was given is over; what was begun goes on another time."""


@dataclass(frozen=True)
class Step:
    """One training: on so many images, with one fold held out.

    Parameters
    ----------
    size : int
        Images that were asked for.
    fold : int
    training, held_out : tuple of str
        Names of the images: whole groups on either side.
    """

    size: int
    fold: int
    training: tuple[str, ...]
    held_out: tuple[str, ...]

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return f"n{self.size:04d}-fold{self.fold}"

    @property
    def words(self) -> str:
        """The step in a phrase."""
        return f"{self.size} images, fold {self.fold}"


@dataclass(frozen=True)
class Done:
    """What became of a step: ``state`` is done, stopped (goes on another time), failed or not run."""

    step: Step
    state: str
    error: str = ""
    sweep: Sweep | None = None


@dataclass(frozen=True, eq=False)
class Point:
    """What one size gives.

    Parameters
    ----------
    size : int
        Images that were asked for.
    n_training : float
        Images that were drawn, mean over folds.
    n_folds : int
        Folds that are done.
    scores : dict of str to Estimate
        Means over the held-out images.
    gain : Estimate
        AP50 of the largest size minus that of this one, on the images that both have; 0 without width for the largest.
    """

    size: int
    n_training: float
    n_folds: int
    scores: Mapping[str, Estimate]
    gain: Estimate


@dataclass(frozen=True, eq=False)
class CapacityStudy:
    """Scores against the number of training images.

    Parameters
    ----------
    points : tuple of Point
        Rising; a size of which no fold is done has none.
    level : int or None
        Size from which more images gain nothing that matters; None where the largest still gains, or none can be told.
    results : tuple of Done
        Every step.
    groups : str
        What the groups are called.
    n_groups : int
    notes : tuple of str
    """

    points: tuple[Point, ...]
    level: int | None
    results: tuple[Done, ...]
    groups: str
    n_groups: int
    notes: tuple[str, ...] = field(default=())

    def table(self) -> pd.DataFrame:
        """Return one row a size and score."""
        import pandas as pd

        rows = [
            (p.size, p.n_training, p.n_folds, *name.split(".", 1), e.value, e.low, e.high, e.level, e.n, e.note)
            for p in self.points
            for name, e in ({f"gain_to_largest.{HEADLINE.split('.')[1]}": p.gain} | dict(p.scores)).items()
        ]
        names = ["size", "n_training", "folds", "family", "score", "value", "low", "high", "level", "n", "note"]
        return pd.DataFrame(rows, columns=names)

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return {
            "segmetry": segmetry.__version__,
            "study": "capacity",
            "groups": self.groups,
            "n_groups": self.n_groups,
            "points": [
                {
                    "size": p.size,
                    "n_training": p.n_training,
                    "folds": p.n_folds,
                    "scores": {name: e.as_dict() for name, e in p.scores.items()},
                    "gain_to_largest": p.gain.as_dict(),
                }
                for p in self.points
            ],
            "levels_off_at": self.level,
            "sentence": level_sentence(self.points, self.level),
            "steps": [
                {
                    "size": one.step.size,
                    "fold": one.step.fold,
                    "n_training": len(one.step.training),
                    "n_held_out": len(one.step.held_out),
                    "state": one.state,
                    "error": one.error,
                    "failures": [{"image": i, "error": e} for i, e in (one.sweep.failures if one.sweep else ())],
                }
                for one in self.results
            ],
            "notes": list(self.notes),
        }


def draw_nested(groups: Sequence[str], sizes: Sequence[int], *, seed: int) -> list[np.ndarray]:
    """Return which images make up each size: whole groups, a smaller size a part of every larger one.

    Parameters
    ----------
    groups : (n,) sequence of str
        Of the images to draw from.
    sizes : sequence of int
        Rising.
    seed : int
        Of the order in which groups are drawn.

    Returns
    -------
    drawn : list of arrays of int
        Places in `groups`, rising. As many groups of one random order as bring the number of images nearest to the size
        (the fewer of two equally near), at least one: groups are not parted, so it is off by half a group at most.
    """
    names, code, counts = np.unique(np.asarray(groups), return_inverse=True, return_counts=True)
    order = np.random.default_rng(seed).permutation(names.size)
    total = np.cumsum(counts[order])
    kept = [order[: int(np.argmin(np.abs(total - size))) + 1] for size in sizes]
    return [np.flatnonzero(np.isin(code, one)) for one in kept]


def plan_steps(
    names: Sequence[str], groups: Sequence[str], sizes: Sequence[int], n_folds: int, *, seed: int = 0
) -> tuple[list[Step], list[str]]:
    """Return every training to do, fold by fold, and what is to be said of the sizes.

    A size that is not there once a fold is held out is cut to all that are; of several such sizes the first is taken.

    Raises
    ------
    OptionError
        If there are fewer groups than folds, or no size.
    """
    if not sizes or min(sizes) < 1 or list(sizes) != sorted(set(sizes)):
        raise OptionError(f"sizes are numbers of images, rising, such as 50,100,200; got {list(sizes)}.")
    n_groups = len(set(groups))
    if n_folds < 2 or n_groups < n_folds:
        raise OptionError(f"{n_groups} groups cannot be dealt into {n_folds} folds; use fewer folds, at least 2.")
    fold = folds(groups, n_folds)
    left = [int(np.count_nonzero(fold != k)) for k in range(n_folds)]
    fewest = min(left)
    beyond = [size for size in sizes if size >= fewest]
    kept = [size for size in sizes if size < fewest] + beyond[:1]
    notes = []
    if beyond and beyond[-1] > fewest:
        span = f"{fewest}" if fewest == max(left) else f"{fewest} to {max(left)}"
        notes.append(
            f"{len(names)} images, and {span} when a fold is held out: size {beyond[0]} stands for all of these."
        )
    steps = []
    name, group = np.asarray(names), np.asarray(groups)
    for k in range(n_folds):
        inside = np.flatnonzero(fold != k)
        wanted = [size if size < fewest else inside.size for size in kept]
        drawn = draw_nested(group[inside].tolist(), wanted, seed=seed + k)
        held_out = tuple(name[fold == k].tolist())
        steps += [Step(s, k, tuple(name[inside[d]].tolist()), held_out) for s, d in zip(kept, drawn, strict=True)]
    return steps, notes


def check_folders(steps: Iterable[Step], work: Path, identity: str) -> None:
    """Raise an error where a folder holds a training on other images, or by another recipe."""
    for step in steps:
        kept = _read(work / step.folder / "step.json")
        if kept and kept.get("key") != _key(step, identity):
            raise OptionError(
                f"{work / step.folder}: holds a training of another recipe, or on other images; name another folder "
                "with -o, or remove this one."
            )


def do_steps(
    steps: Sequence[Step],
    trials: Mapping[str, Trial],
    owner: Mapping[str, str],
    work: Path,
    *,
    train: Trainer,
    recipe_of: Callable[[Path], Recipe],
    identity: str,
    jobs: int = 1,
    out_of_time: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = lambda text: None,
) -> list[Done]:
    """Train and judge every step that is not done, and return what became of each.

    Parameters
    ----------
    steps : sequence of Step
    trials : mapping of image to Trial
    owner : mapping of image to group
    work : path
        Gets a folder for each step.
    train : callable
        See `Trainer`.
    recipe_of : callable
        From a model's folder to the recipe that segments with it; its method keeps every particle.
    identity : str
        What decides a model apart from the drawn images: recipe and data, as a hash.
    jobs : int
        Images judged at once.
    out_of_time : callable
        Asked before each training; one that is over its time raises `OutOfTimeError` itself.
    say : callable
        Told what is done now.
    """
    check_folders(steps, work, identity)
    results: list[Done] = []
    for number, step in enumerate(steps, 1):
        folder = work / step.folder
        kept = _read(folder / "step.json")
        model = folder / kept["model"] if "model" in kept else None
        try:
            if model is None or not model.exists():
                if out_of_time():
                    results.append(Done(step, "stopped" if kept else "not run"))
                    continue
                folder.mkdir(parents=True, exist_ok=True)
                write_json(folder / "step.json", {"key": _key(step, identity)})
                say(f"training {number} of {len(steps)}: {step.words} ({len(step.training)} drawn)")
                model = train(step, folder)
                write_json(folder / "step.json", {"key": _key(step, identity), "model": str(model.relative_to(folder))})
            todo = [trials[name] for name in step.held_out]
            judge = SweepWork(recipe_of(model), folder / "held-out")
            n = sum(not judge.is_done(trial) for trial in todo)
            if n:
                say(f"judging {step.words}: {n} of {len(todo)} images")
            outcomes = sorted(run(todo, judge, jobs=jobs, done=judge.is_done), key=lambda o: o.task.folder)
            results.append(Done(step, "done", sweep=load_sweep(folder / "held-out", outcomes, owner)))
        except OutOfTimeError:
            results.append(Done(step, "stopped"))
        except Exception as caught:
            results.append(Done(step, "failed", describe_error(caught, folder)[0]))
    return results


def study_capacity(
    results: Sequence[Done], *, group_name: str = "", notes: Sequence[str] = (), seed: int = 0
) -> CapacityStudy:
    """Return what the trainings say.

    Notes
    -----
    A model's threshold matters, and few images make scores that are off; so for each size the threshold is chosen by
    AP50, for every image on other groups of held-out images, and sizes are compared at their own best.

    It levels off at the first size from which on the paired gain of the largest has an interval that reaches down to 0
    *and* a mean below .01. The interval alone would be satisfied by few images, which tell nothing apart; the mean
    alone by chance. That more could still be gained is never excluded: the upper end of the interval says how much.
    """
    values: dict[int, dict[str, np.ndarray]] = {}
    names: dict[int, list[str]] = {}
    owner: dict[str, str] = {}
    for size in sorted({one.step.size for one in results}):
        done = [one.sweep for one in results if one.step.size == size and one.sweep is not None]
        if not done:
            continue
        pooled = _together(done)
        groups = [one.group for one in pooled.objects]
        names[size] = pooled.names
        owner |= dict(zip(pooled.names, groups, strict=True))
        values[size] = values_at(pooled, pick_on_others(pooled, (HEADLINE,), fold_of(groups)))
    points = []
    for size, scores in values.items():
        groups = [owner[name] for name in names[size]]
        steps = [one.step for one in results if one.step.size == size and one.sweep is not None]
        means = mean_over_images(scores, groups=groups, bounds=bounds_of_scores(list(scores)), seed=seed)
        n = float(np.mean([len(step.training) for step in steps]))
        largest = max(values)
        points.append(Point(size, n, len(steps), means, _gain(names, values, owner, size, largest, seed)))
    unit = group_name or "image"
    n_groups = len({owner[name] for of_size in names.values() for name in of_size})
    return CapacityStudy(tuple(points), levels_off(points), tuple(results), unit, n_groups, tuple(notes))


def levels_off(points: Sequence[Point]) -> int | None:
    """Return the first size from which on the largest gains nothing that matters; None where that is the largest."""
    level = None
    for point in reversed(points[:-1]):
        if not (point.gain.low <= 0 and point.gain.value < LEAST_GAIN):
            break
        level = point.size
    return level


def level_sentence(points: Sequence[Point], level: int | None) -> str:
    """Return where it levels off, in words."""
    if len(points) < 2:
        return "Fewer than two sizes are done, so nothing can be said of where it levels off."
    largest, before = points[-1], points[-2]
    if level is None:
        told = math.isfinite(before.gain.low)
        why = (
            f"from {before.size} to {largest.size} images AP50 gains {before.gain.value:.3f} "
            f"[{before.gain.low:.3f}, {before.gain.high:.3f}]"
            if told
            else "there are too few groups for intervals"
        )
        return f"It does not level off up to {largest.size} images as far as these can tell: {why}."
    at = next(p for p in points if p.size == level)
    return (
        f"It levels off at {level} images: from there to {largest.size} AP50 gains {at.gain.value:.3f} "
        f"[{at.gain.low:.3f}, {at.gain.high:.3f}], less than {LEAST_GAIN:g} and not told apart from 0; up to "
        f"{at.gain.high:.3f} more is not excluded."
    )


def _gain(
    names: Mapping[int, Sequence[str]],
    values: Mapping[int, Mapping[str, np.ndarray]],
    owner: Mapping[str, str],
    size: int,
    largest: int,
    seed: int,
) -> Estimate:
    here, there = (dict(zip(names[s], values[s][HEADLINE], strict=True)) for s in (size, largest))
    both = [name for name in names[size] if name in there]
    found = paired_difference(
        [here[name] for name in both],
        [there[name] for name in both],
        name=f"AP50 of {largest} minus that of {size} images",
        groups=[owner[name] for name in both],
        seed=seed,
    )
    return found.estimate


def _together(sweeps: Sequence[Sweep]) -> Sweep:
    keys = [key for key in sweeps[0].values if all(key in one.values for one in sweeps)]
    return Sweep(
        [name for one in sweeps for name in one.names],
        {key: np.concatenate([one.values[key] for one in sweeps]) for key in keys},
        [found for one in sweeps for found in one.objects],
        [failure for one in sweeps for failure in one.failures],
    )


def _key(step: Step, identity: str) -> str:
    data = [identity, step.training, step.held_out]
    return hashlib.sha256(json.dumps(data).encode()).hexdigest()


def _read(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return {}
