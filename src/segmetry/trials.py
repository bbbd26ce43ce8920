"""One image by every method: segment, judge and cost each, and leave what came out.

Every image is one piece of work that leaves, for each method, a label image and its scores; so a run that was stopped
goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import segmetry
from segmetry.batch import Outcome, Task, describe_error
from segmetry.competitors import Competitor
from segmetry.cost import costed, one_thread
from segmetry.errors import SegmetryError, ShapeMismatchError
from segmetry.evaluate.combining import same_classes
from segmetry.evaluate.judgement import ImageScores, Rules, judge
from segmetry.evaluate.properties import image_properties, object_properties
from segmetry.io import calibrate, read, read_labels, write_labels
from segmetry.io.json_file import write_json
from segmetry.judging import thresholded
from segmetry.label_checks import check_classes, check_shapes, mask_note
from segmetry.measure import label
from segmetry.partners import FilePair, pair_files
from segmetry.preparing import hash_file, prepare_image, reference_hashes
from segmetry.segment import segment
from segmetry.types import Calibration, Image, Segmentation


@dataclass(frozen=True)
class Trial(Task):
    """One image to do: its file, its truth, and the labels that came from elsewhere, by competitor."""

    truth: Path
    given: tuple[tuple[str, Path], ...] = ()


def make_trials(competitors: Sequence[Competitor], pairs: Sequence[FilePair]) -> list[Trial]:
    """Return a trial for every image.

    Raises
    ------
    ReadError
        If a folder of label images lacks one.
    """
    given: dict[str, list[tuple[str, Path]]] = {pair.name: [] for pair in pairs}
    for one in competitors:
        if one.folder is not None:
            for found in pair_files(one.folder, pairs[0].truth.parent, ids=list(given)).pairs:
                given[found.name].append((one.name, found.first))
    return [Trial(pair.first, pair.name, pair.truth, tuple(given[pair.name])) for pair in pairs]


@dataclass(frozen=True)
class CompareWork:
    """Segment one image with every method, and judge what comes out.

    Parameters
    ----------
    competitors : tuple of Competitor
    out : Path
    rules : Rules
    again : bool
        Whether methods whose scores are there already run once more.
    """

    competitors: tuple[Competitor, ...]
    out: Path
    rules: Rules
    again: bool = False

    def __call__(self, task: Task) -> None:
        """Write label image and scores of each method that lacks them, or of all."""
        assert isinstance(task, Trial)
        image = read(task.path)
        truth = read_labels(task.truth)
        if truth.values.shape != image.spatial_shape:
            raise ShapeMismatchError(
                f"{task.path} is {image.spatial_shape} but its truth {task.truth} is {truth.values.shape}; "
                "undo the resizing, or crop both to the same window."
            )
        keys = self.keys(task)
        _write(self.out / "properties" / f"{task.folder}.json", self._properties(image, truth.values))
        calibrated: Image | None = None
        for one in self.competitors:
            path = self.out / one.name / f"{task.folder}.json"
            if not self.again and _key_in(path) == keys[one.name]:
                continue
            if calibrated is None:
                recipe = next((c.recipe for c in self.competitors if c.recipe), None)
                calibrated, _ = (
                    calibrate(image, scale=recipe.scale, pixel_size=recipe.pixel_size) if recipe else (image, None)
                )
            error, labels = "", np.zeros(truth.values.shape, np.int32)
            cost: dict[str, float] = {}
            how: dict[str, Any] = {"name": task.folder, "calibration": _uneven(calibrated.calibration)}
            try:
                labels, cost = self._labels(one, task, calibrated, truth.values)
                scores = judge(truth.values, labels, self.rules, **how)
            except Exception as caught:
                error, _ = describe_error(caught, task.path)
                labels = np.zeros(truth.values.shape, np.int32)
                scores = judge(truth.values, labels, self.rules, **how)
            if one.folder is not None and self.rules.kind == "instance":
                odd = mask_note(labels, "prediction")
                scores = replace(scores, notes=(*scores.notes, odd)) if odd else scores
            path.parent.mkdir(parents=True, exist_ok=True)
            if not error:
                write_labels(path.with_suffix(".tif"), labels, calibrated.calibration)
            _write(path, {"key": keys[one.name], "error": error, "cost": cost} | scores.as_dict())

    def keys(self, task: Trial) -> dict[str, str]:
        """Return what decides the scores of each method on an image, as a hash."""
        common = [segmetry.__version__, self.rules.as_dict(), hash_file(task.path), hash_file(task.truth)]
        given = dict(task.given)
        found = {}
        for one in self.competitors:
            steps = one.recipe.prepare if one.recipe else ()
            own = hash_file(given[one.name]) if one.name in given else [one.as_dict(), *reference_hashes(steps)]
            found[one.name] = hashlib.sha256(json.dumps([*common, own], sort_keys=True).encode()).hexdigest()
        return found

    def is_done(self, task: Task) -> bool:
        """Return whether an image has all its scores, made of the same files by the same recipes and rules."""
        assert isinstance(task, Trial)
        try:
            keys = self.keys(task)
        except SegmetryError:
            return False
        return (self.out / "properties" / f"{task.folder}.json").is_file() and all(
            _key_in(self.out / name / f"{task.folder}.json") == key for name, key in keys.items()
        )

    def _labels(
        self, one: Competitor, task: Trial, image: Image, truth: np.ndarray
    ) -> tuple[np.ndarray, dict[str, float]]:
        megapixels = {"megapixels": math.prod(image.spatial_shape) / 1e6}
        if one.recipe is None:
            path = dict(task.given)[one.name]
            found_labels = read_labels(path, scores=self.rules.kind == "semantic")
            labels, _ = thresholded(path, found_labels, None, scores=False)
            check_shapes(labels, truth, path, task.truth)
            check_classes(labels, path, self.rules)
            return labels, megapixels
        method, steps = one.recipe.method, one.recipe.prepare
        with one_thread():
            _warm_up(one, image)
            found = costed(lambda: segment(prepare_image(image, steps), method))
        cost = {"seconds": found.seconds, "peak_memory": found.peak_memory} | megapixels
        return self._fitting(found.result), cost

    def _fitting(self, found: Segmentation) -> np.ndarray:
        """Return objects as a mask where classes are judged."""
        if self.rules.kind == "semantic" and found.kind == "instance":
            return (found.labels > 0).astype(np.int32)
        return found.labels

    def _properties(self, image: Image, truth: np.ndarray) -> dict[str, Any]:
        """Return what may make the image, and each of its objects, hard; of classes their pieces are the objects."""
        if truth.ndim != 2:
            return {"image": {}, "objects": []}
        ignored = truth == self.rules.ignore if self.rules.ignore is not None else None
        labels = label(truth > 0) if self.rules.kind == "semantic" else truth
        objects = object_properties(labels, image.pixels, ignore=ignored)
        found = image_properties(labels, image.pixels, ignore=ignored, objects=objects)
        return {"image": found, "objects": objects.to_dict("records") if self.rules.kind == "instance" else []}


def _uneven(calibration: Calibration) -> Calibration | None:
    """Return the pixel size where it is not the same along every axis; else scores are in pixels.

    Images of a comparison differ in magnification, and a mean of their distances would be that of the coarsest.
    """
    return calibration if calibration.known and len(set(calibration.spacing)) > 1 else None


_WARM: set[tuple[str, str, bool]] = set()


def _warm_up(one: Competitor, image: Image) -> None:
    """Run a method once on a corner: what is compiled and loaded on first use is no cost of the image.

    Kernels are compiled for a type of pixels, and anew where some of them are ignored.
    """
    some_ignored = image.ignore is not None and bool(image.ignore.any())
    kind = (one.name, image.pixels.dtype.str, some_ignored)
    if kind in _WARM or one.recipe is None:
        return
    _WARM.add(kind)
    corner = image.pixels[tuple(slice(0, 96) for _ in image.pixels.shape)]
    ignore = None
    if some_ignored and corner.ndim == len(image.spatial_shape):
        ignore = np.zeros(corner.shape, bool)
        ignore[..., -1] = True
    try:
        segment(Image(corner, image.axes, ignore=ignore), one.recipe.method)
    except Exception:  # what is wrong with it, the image itself will say
        return


def _write(path: Path, data: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, data)


def _key_in(path: Path) -> str:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return "" if found["error"] else str(found["key"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


@dataclass(frozen=True, eq=False)
class Trials:
    """What a comparison has written: scores of every method on the images that all have."""

    names: list[str]
    scores: dict[str, list[ImageScores]]
    costs: dict[str, list[Mapping[str, float]]]
    properties: list[Mapping[str, Any]]
    failures: list[tuple[str, str, str]]


def load(out: Path, competitors: Sequence[Competitor], outcomes: Sequence[Outcome]) -> Trials:
    """Return what the work has left in the output folder."""
    found = Trials([], {c.name: [] for c in competitors}, {c.name: [] for c in competitors}, [], [])
    for outcome in outcomes:
        name = outcome.task.folder
        if not outcome.ok:
            found.failures.append(("all", name, outcome.error))
            continue
        found.names.append(name)
        found.properties.append(json.loads((out / "properties" / f"{name}.json").read_text(encoding="utf-8")))
        for one in competitors:
            data = json.loads((out / one.name / f"{name}.json").read_text(encoding="utf-8"))
            if data["error"]:
                found.failures.append((one.name, name, data["error"]))
            found.scores[one.name].append(ImageScores.from_dict(data))
            found.costs[one.name].append(data["cost"])
    alike = iter(same_classes([scores for of_method in found.scores.values() for scores in of_method]))
    return replace(found, scores={name: [next(alike) for _ in rows] for name, rows in found.scores.items()})
