"""One image at every threshold of the score: segmented once with all particles, judged again as they drop out.

Every image is one piece of work that leaves its labels, the scores of its particles, and what each threshold makes of
them; so a run that was stopped goes on where it was.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import segmetry
from segmetry.batch import Outcome, Task
from segmetry.cost import one_thread
from segmetry.errors import ImageError, OptionError, SegmetryError, ShapeMismatchError
from segmetry.evaluate.instances import score_instances
from segmetry.evaluate.judgement import FAMILIES
from segmetry.evaluate.physical import physical_scores
from segmetry.evaluate.published import published_emps
from segmetry.evaluate.scored import ScoredImage, score_image
from segmetry.io import calibrate, read, read_labels, write_labels
from segmetry.io.card import Card
from segmetry.io.json_file import write_json
from segmetry.io.model_folder import read_model_folder, resolve_model
from segmetry.preparing import hash_file, prepare_image, reference_hashes
from segmetry.recipe import Recipe
from segmetry.segment import METHODS, Method, segment
from segmetry.trials import Trial

THRESHOLDS = (*(k / 20 for k in range(20)), 0.975, 0.99)
"""Thresholds of the sweep."""

PHYSICAL = ("count_error", "count_deviation", "d50_error", "d50_deviation")
"""Physical scores of the sweep."""


def open_threshold(method: Method) -> Method:
    """Return the method with its threshold at 0, so that it keeps every particle.

    Raises
    ------
    OptionError
        If it has no option ``threshold``.
    """
    if "threshold" not in {f.name for f in dataclasses.fields(method)}:
        known = [n for n, m in METHODS.items() if "threshold" in {f.name for f in dataclasses.fields(m)}]
        raise OptionError(
            f"method {method.name} has no option 'threshold' on the score of a particle, so there is nothing to sweep; "
            f"these have: {', '.join(known) or 'none'}."
        )
    return method.from_options({k: v for k, v in method.as_dict().items() if k != "method"} | {"threshold": 0.0})


def drop_below(labels: np.ndarray, scores: np.ndarray, threshold: float) -> np.ndarray:
    """Return the label image of the objects whose score reaches a threshold, numbered 1..K in the same order.

    Parameters
    ----------
    labels : array of int32
        Objects 1..L.
    scores : (L,) array
        ``scores[i]`` belongs to label ``i + 1``.
    threshold : float

    Examples
    --------
    >>> drop_below(np.array([[1, 0, 2, 3]], np.int32), np.array([0.9, 0.2, 0.5]), 0.5)
    array([[1, 0, 0, 2]], dtype=int32)
    """
    kept = np.asarray(scores) >= threshold
    number = np.append(0, np.where(kept, np.cumsum(kept), 0)).astype(np.int32)
    return number[labels]


def sweep_image(
    truth: np.ndarray, labels: np.ndarray, scores: np.ndarray, thresholds: Sequence[float] = THRESHOLDS
) -> dict[str, list[float]]:
    """Return the scores of one image at every threshold, by their full names.

    Parameters
    ----------
    truth : (M, N) or (P, M, N) array of int
    labels : array of int32, same shape
        Objects 1..L.
    scores : (L,) array of float
        Of the objects.
    thresholds : (T,) sequence of float

    Returns
    -------
    values : dict of str to list of T floats
        All of `INSTANCE`; those of `PUBLISHED_EMPS` in 2D; and `PHYSICAL` of this module. nan where a score cannot be
        had.
    """
    rows: list[dict[str, float]] = []
    before = -1
    for kept in (int(np.count_nonzero(scores >= t)) for t in thresholds):
        if kept != before:  # as many kept are the same ones
            found = drop_below(labels, scores, thresholds[len(rows)])
            physical = physical_scores(truth, found)
            row = {f"instance.{k}": v for k, v in score_instances(truth, found).items()}
            if truth.ndim == 2:
                row |= {f"published_emps.{k}": v for k, v in published_emps(truth, found).items()}
            row |= {f"physical.{k}": physical[k] for k in PHYSICAL}
        before = kept
        rows.append(row)
    return {name: [float(row[name]) for row in rows] for name in rows[0]}


@dataclass(frozen=True)
class SweepWork:
    """Segment one image with every particle kept, and judge it at every threshold.

    Parameters
    ----------
    recipe : Recipe
        Its method has the threshold 0; see `open_threshold`.
    out : Path
        Gets ``NAME.tif`` (labels) and ``NAME.json``.
    """

    recipe: Recipe
    out: Path

    def __call__(self, task: Task) -> None:
        """Write labels and scores of one image; where the method fails, those of an empty prediction, and raise."""
        assert isinstance(task, Trial)
        made, judged = self.keys(task)
        image = read(task.path, page=self.recipe.page)
        truth = read_labels(task.truth).values
        if truth.shape != image.spatial_shape:
            raise ShapeMismatchError(
                f"{task.path} is {image.spatial_shape} but its truth {task.truth} is {truth.shape}; undo the resizing, "
                "or crop both to the same window."
            )
        path = self.out / f"{task.folder}.json"
        known = _read(path)
        if known.get("made") == made and path.with_suffix(".tif").is_file():  # only the truth has changed
            labels = read_labels(path.with_suffix(".tif")).values.astype(np.int32)
            scores = np.array(known["scores"], float)
        else:
            image, _ = calibrate(image, scale=self.recipe.scale, pixel_size=self.recipe.pixel_size)
            image = prepare_image(image, self.recipe.prepare)
            try:
                with one_thread():
                    labels, scores = _scored(segment(image, self.recipe.method), task.path)
            except Exception:
                self._write(path, truth, np.zeros(truth.shape, np.int32), np.zeros(0), made="", judged="")
                raise
            path.parent.mkdir(parents=True, exist_ok=True)
            write_labels(path.with_suffix(".tif"), labels, image.calibration)
        self._write(path, truth, labels, scores, made=made, judged=judged)

    def _write(
        self, path: Path, truth: np.ndarray, labels: np.ndarray, scores: np.ndarray, *, made: str, judged: str
    ) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        known = score_image(truth, labels, scores, group="")
        data = {
            "made": made,
            "judged": judged,
            "scores": scores,
            "sweep": sweep_image(truth, labels, scores),
            "judged_scores": known.scores,
            "right": known.right,
            "n_truth": known.n_truth,
        }
        write_json(path, data)

    def keys(self, task: Trial) -> tuple[str, str]:
        """Return what decides the labels of an image, and what decides its scores, as hashes."""
        recipe = self.recipe
        card = _card_of(recipe.method)
        made = [segmetry.__version__, recipe.as_dict(), card.to_json() if card else "", hash_file(task.path)]
        made += reference_hashes(recipe.prepare)
        first = hashlib.sha256(json.dumps(made, sort_keys=True).encode()).hexdigest()
        both = [first, hash_file(task.truth), list(THRESHOLDS)]
        return first, hashlib.sha256(json.dumps(both).encode()).hexdigest()

    def check(self) -> None:
        """Raise the error that every image would meet, before any work."""
        self.recipe.method.check()

    def is_done(self, task: Task) -> bool:
        """Return whether an image has its scores, made of the same files by the same method and model."""
        assert isinstance(task, Trial)
        try:
            return _read(self.out / f"{task.folder}.json").get("judged") == self.keys(task)[1]
        except SegmetryError:
            return False


@dataclass(frozen=True, eq=False)
class Sweep:
    """What the work has left: every score of every image at every threshold.

    Parameters
    ----------
    names : list of str
        Images, n of them.
    values : dict of str to (n, T) array
        By the full name of the score.
    objects : list of ScoredImage
        The particles of each image with their scores, and whether each is right; the group is the image's.
    failures : list of (image, error)
        Images on which the method failed, which count as empty predictions, and images that could not be read, which
        are left out.
    """

    names: list[str]
    values: dict[str, np.ndarray]
    objects: list[ScoredImage]
    failures: list[tuple[str, str]]


def load_sweep(out: Path, outcomes: Sequence[Outcome], owner: Mapping[str, str]) -> Sweep:
    """Return what the work has left in its folder.

    Parameters
    ----------
    out : path
    outcomes : sequence of Outcome
    owner : mapping of image to group
        An image that is not in it is its own group.

    Raises
    ------
    OptionError
        If no image could be judged.
    """
    names, rows, objects, failures = [], [], [], []
    for outcome in outcomes:
        name = outcome.task.folder
        data = _read(out / f"{name}.json")
        if not outcome.ok:
            failures.append((name, outcome.error))
            if data.get("judged") != "":
                continue
        names.append(name)
        rows.append(data["sweep"])
        found = ScoredImage(data["judged_scores"], data["right"], data["n_truth"], owner.get(name, name))
        objects.append(found)
    if not names:
        raise OptionError("no image could be judged: all of them failed.")
    keys = [key for key in rows[0] if all(key in row for row in rows)]
    values = {key: np.array([_numbers(row[key]) for row in rows]) for key in keys}
    return Sweep(names, values, objects, failures)


def bounds_of_scores(names: Sequence[str]) -> dict[str, tuple[float, float]]:
    """Return the smallest and largest value of scores by their full names."""
    pairs = {name: name.split(".", 1) for name in names}
    return {name: FAMILIES[family].scores[score].bounds for name, (family, score) in pairs.items()}


def _scored(found: Any, path: Path) -> tuple[np.ndarray, np.ndarray]:
    n = found.n_regions
    if n == 0:
        return found.labels, np.zeros(0)
    if found.scores is None or found.kind != "instance":
        raise OptionError(f"{path}: the method {found.method['method']} gives no score for each particle.")
    scores = np.asarray(found.scores, float)
    if scores.shape != (n,):
        raise ImageError(f"{path}: {n} particles but scores of the shape {scores.shape}.")
    return found.labels, scores


def note_on_scores(method: Method) -> str:
    """Return what is to be said of scores that a model's own map has turned into chances; empty where none did."""
    card = _card_of(method)
    if card is None or (card.post.get("score_map") or {}).get("form", "none") == "none":
        return ""
    return (
        f"The scores are chances, by the own map of the model {card.name}. Thresholds here are on those chances, and "
        "if the map was made from these images, the promises of this study are no longer strict."
    )


def _card_of(method: Method) -> Card | None:
    """Return the card, with the hash of the network, of the model that a method runs; None where it runs none."""
    name = getattr(method, "model", None)
    return read_model_folder(resolve_model(name)).card if name else None


def _numbers(values: Sequence[float | None]) -> list[float]:
    return [math.nan if v is None else v for v in values]


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if isinstance(found, dict) else {}
    except (OSError, ValueError):
        return {}
