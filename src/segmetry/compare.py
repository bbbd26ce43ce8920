"""Methods on the same labelled images: segment, judge and cost each, then rank them with paired intervals.

Every image is one piece of work that leaves, for each method, a label image and its scores; so a run that was stopped
goes on where it was, and what stands over all images is made at the end from what was written.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import segmetry
from segmetry.batch import Outcome, Task, describe_error, hash_file
from segmetry.competitors import Competitor
from segmetry.cost import costed, one_thread
from segmetry.errors import OptionError, SegmetryError, ShapeMismatchError
from segmetry.evaluate.combining import combine, same_classes, tidy
from segmetry.evaluate.comparison import Comparison, Rank
from segmetry.evaluate.dependence import Trend, trend
from segmetry.evaluate.judgement import HEADLINE, ImageScores, Rules, judge, score_of
from segmetry.evaluate.paired import paired_difference
from segmetry.evaluate.properties import image_properties, object_properties
from segmetry.evaluate.scores import Score, score_name
from segmetry.io import calibrate, read, read_labels, write_labels
from segmetry.judging import thresholded
from segmetry.label_checks import check_classes, check_shapes, mask_note
from segmetry.measure import label
from segmetry.partners import FilePair, pair_files, some_names
from segmetry.pipeline import Provenance, make_provenance, write_json
from segmetry.recipe import Recipe
from segmetry.segment import segment
from segmetry.types import Calibration, Image, Segmentation

if TYPE_CHECKING:
    import pandas as pd


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
            own = hash_file(given[one.name]) if one.name in given else one.as_dict()
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
        method = one.recipe.method
        with one_thread():
            _warm_up(one, image)
            found = costed(lambda: segment(image, method))
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


def compare(
    trials: Trials,
    rules: Rules,
    *,
    groups: Sequence[str] | None = None,
    group_name: str = "",
    rank_by: str | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    properties: Mapping[str, Sequence[float]] | None = None,
    seed: int = 0,
) -> Comparison:
    """Return how methods compare on the same images.

    Parameters
    ----------
    trials : Trials
    rules : Rules
    groups : sequence of str, optional
        The group of each image of `trials`.
    group_name : str
        What the groups are.
    rank_by : str, optional
        Full name of a score; `HEADLINE` of the kind by default.
    settings : mapping of method to mapping, optional
        The options of each method, as data.
    properties : mapping of str to (n,) sequence, optional
        Numbers of each image of `trials` that scores are set against too, such as its dose.
    seed : int
        Of the bootstrap.

    Raises
    ------
    OptionError
        If no image could be judged, or there is no such score.
    """
    import pandas as pd

    if not trials.names:
        raise OptionError("no image could be judged: all of them failed.")
    rank_by = rank_by or HEADLINE[rules.kind]
    score = score_of(rank_by, rules.kind)
    estimates = {
        method: {
            f"{family}.{name}": e
            for family, found in combine(images, groups=groups, seed=seed).items()
            for name, e in found.items()
        }
        for method, images in trials.scores.items()
    }
    values = {method: _badness_free(images, rank_by, score) for method, images in trials.scores.items()}
    ranking = rank(values, {m: found[rank_by] for m, found in estimates.items()}, score, groups=groups, seed=seed)
    methods = tuple(r.method for r in ranking)
    table = pd.concat([_table(trials, method, groups) for method in methods], ignore_index=True)
    objects = pd.concat([_objects(trials, method, groups) for method in methods], ignore_index=True)
    trends = {
        method: (
            *_image_trends(trials, values[method], rank_by, properties or {}, groups, seed),
            *_object_trends(objects[objects["method"] == method] if len(objects) else objects, seed),
        )
        for method in methods
    }
    return Comparison(
        methods,
        rules.kind,
        rank_by,
        table,
        objects,
        estimates,
        ranking,
        trends,
        group_name or "image",
        len(trials.names),
        len(set(groups)) if groups is not None else len(trials.names),
        tuple(trials.failures),
        tuple(_notes(trials, methods)),
        settings or {},
    )


def _notes(trials: Trials, methods: Sequence[str]) -> Iterator[str]:
    """Yield what is to be said of the images of each method: one line for all images of which the same is said."""
    for method in methods:
        said: dict[str, list[str]] = {}
        for one in trials.scores[method]:
            for note in one.notes:
                said.setdefault(note.partition(": the overlap")[0], []).append(one.name)
        for note, names in said.items():
            yield f"{method}: {note}: {some_names(names)} ({len(names)} of {len(trials.names)} images)"


def _badness_free(images: Sequence[ImageScores], rank_by: str, score: Score) -> np.ndarray:
    """Return the ranking score of each image; of a signed error its size."""
    family, _, name = rank_by.partition(".")
    found = np.array([one.values.get(family, {}).get(name, math.nan) for one in images])
    return np.abs(found) if score.best == "zero" else found


def rank(
    values: Mapping[str, np.ndarray],
    estimates: Mapping[str, Any],
    score: Score,
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> tuple[Rank, ...]:
    """Return the methods, best first, each with its paired difference to the best.

    The order is that on the images of which every method has the score.

    Parameters
    ----------
    values : mapping of method to (n,) array
        The ranking score of every image; nan where there is none.
    estimates : mapping of method to Estimate
        Its mean, as it is shown.
    score : Score
        Which way is better.
    groups, seed
        Of the bootstrap.
    """
    sign = -1.0 if score.best == "high" else 1.0
    # Where a method lacks a score it mostly found nothing: on the images that all have, it gains nothing by that.
    scored = [v for v in values.values() if np.isfinite(v).any()]
    shared = np.isfinite(scored).all(axis=0) if scored else np.zeros(0, bool)

    def badness(method: str) -> float:
        seen = np.isfinite(values[method]) & (shared if shared.any() else True)
        return sign * float(values[method][seen].mean()) if seen.any() else math.inf

    order = sorted(values, key=badness)
    ranks: list[Rank] = []
    tier, leader = 1, order[0]
    for place, method in enumerate(order, 1):
        to_best = None
        if place > 1:
            to_best = _difference(values, order[0], method, groups, seed)
            to_leader = to_best if leader == order[0] else _difference(values, leader, method, groups, seed)
            if not to_leader.estimate.low <= 0 <= to_leader.estimate.high and math.isfinite(to_leader.estimate.low):
                tier, leader = tier + 1, method
        ranks.append(Rank(method, place, tier, estimates[method], to_best))
    return tuple(ranks)


def _difference(values: Mapping[str, np.ndarray], a: str, b: str, groups: Sequence[str] | None, seed: int) -> Any:
    return paired_difference(values[a], values[b], name=f"{b} - {a}", groups=groups, seed=seed)


_COST_UNITS = {"seconds": "s", "peak_memory": "MiB", "megapixels": "Mpx"}


def _table(trials: Trials, method: str, groups: Sequence[str] | None) -> pd.DataFrame:
    import pandas as pd

    owners = groups if groups is not None else trials.names
    costs = [
        (name, group, "cost", key, value, _COST_UNITS[key])
        for name, group, cost in zip(trials.names, owners, trials.costs[method], strict=True)
        for key, value in cost.items()
    ]
    scores = tidy(trials.scores[method], groups=owners)
    both = pd.concat([scores, pd.DataFrame(costs, columns=scores.columns)], ignore_index=True)
    return both.assign(method=method)[["method", *scores.columns]]


def _objects(trials: Trials, method: str, groups: Sequence[str] | None) -> pd.DataFrame:
    """Return what became of each object, with its size and contrast in the truth."""
    import pandas as pd

    owners = groups if groups is not None else trials.names
    parts = []
    for name, group, scores, known in zip(trials.names, owners, trials.scores[method], trials.properties, strict=True):
        if not scores.objects:
            continue
        rows = pd.DataFrame(list(scores.objects))
        if known.get("objects"):
            about = pd.DataFrame(known["objects"]).rename(columns={"label": "truth"})
            rows = rows.merge(about, on="truth", how="left")
        parts.append(rows.assign(method=method, image=name, group=group))
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame({"method": []})


IMAGE_TRENDS = (
    ("contrast_relative", "contrast", ""),
    ("equivalent_diameter", "median diameter", "px"),
    ("crowding", "crowding", ""),
    ("aspect_ratio", "aspect ratio", ""),
    ("noise", "noise", "grey levels"),
)
OBJECT_TRENDS = (("equivalent_diameter", "diameter", "px"), ("contrast_relative", "contrast", ""))
"""What scores of images, and overlaps of objects, are set against: property, its words, its unit."""


def _image_trends(
    trials: Trials,
    values: np.ndarray,
    rank_by: str,
    properties: Mapping[str, Sequence[float]],
    groups: Sequence[str] | None,
    seed: int,
) -> Iterator[Trend]:
    measured = {
        (words, unit): [_number(known["image"].get(key)) for known in trials.properties]
        for key, words, unit in IMAGE_TRENDS
    }
    given = {(words, ""): list(numbers) for words, numbers in properties.items()}
    for (words, unit), numbers in (given | measured).items():
        found = np.array(numbers)
        if np.isfinite(found).any():
            name = score_name(rank_by)
            yield trend(values, found, name=name, against_name=words, unit=unit, groups=groups, seed=seed)


def _object_trends(objects: pd.DataFrame, seed: int) -> Iterator[Trend]:
    for key, words, unit in OBJECT_TRENDS:
        if key not in objects:
            continue
        rows = objects[objects["truth"] > 0]
        yield trend(
            rows["iou"].to_numpy(float),
            rows[key].to_numpy(float),
            name="IoU of objects",
            against_name=words,
            unit=unit,
            groups=rows["group"].to_numpy(),
            seed=seed,
        )


def provenance_of(competitors: Sequence[Competitor], rules: Rules, outcomes: Sequence[Outcome]) -> Provenance:
    """Return what made a comparison that ends now; its recipe is that of all methods and the rules."""
    recipe = next((c.recipe for c in competitors if c.recipe), Recipe())
    made = make_provenance(recipe, input_sha256="", seconds=sum(o.seconds for o in outcomes))
    data = json.dumps([segmetry.__version__, rules.as_dict(), [c.as_dict() for c in competitors]], sort_keys=True)
    return replace(made, recipe_sha256=hashlib.sha256(data.encode()).hexdigest())


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def as_dict(found: Comparison, competitors: Sequence[Competitor], rules: Rules) -> dict[str, Any]:
    """Return a comparison as plain data for JSON."""
    return {
        "segmetry": segmetry.__version__,
        "n_images": found.n_images,
        "n_groups": found.n_groups,
        "groups": found.groups,
        "rules": rules.as_dict(),
        "ranked_by": found.ranked_by,
        "competitors": [one.as_dict() for one in competitors],
        "ranking": [
            {
                "method": r.method,
                "place": r.place,
                "tier": r.tier,
                "estimate": r.estimate.as_dict(),
                "to_best": r.to_best
                and {"difference": r.to_best.estimate.as_dict(), "p_value": r.to_best.p_value, "n": r.to_best.n},
            }
            for r in found.ranking
        ],
        "scores": {
            method: {name: e.as_dict() for name, e in scores.items()} for method, scores in found.estimates.items()
        },
        "trends": {
            method: [
                {
                    "score": t.name,
                    "against": t.against,
                    "unit": t.unit,
                    "scale": t.scale,
                    "slope": t.slope.as_dict(),
                    "rho": t.rho.as_dict(),
                    "sentence": t.sentence,
                }
                for t in trends
            ]
            for method, trends in found.trends.items()
        },
        "failures": [{"method": m, "image": i, "error": e} for m, i, e in found.failures],
        "notes": list(found.notes),
    }
