"""All scores of an image, by family; each family names how it is averaged over images."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType
from typing import Any, Literal, get_args

import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.evaluate.alignment import misalignment
from segmetry.evaluate.boundary import BOUNDARY, boundary_f1
from segmetry.evaluate.instance_counts import INSTANCE, InstanceCounts
from segmetry.evaluate.instances import count_instances
from segmetry.evaluate.objects import object_outcomes
from segmetry.evaluate.physical import PHYSICAL, physical_scores
from segmetry.evaluate.published import PUBLISHED_EMPS, published_emps
from segmetry.evaluate.ranking import RANKING, count_scores
from segmetry.evaluate.reliability import CALIBRATION
from segmetry.evaluate.reliability import calibration as calibration_of
from segmetry.evaluate.scores import Score
from segmetry.evaluate.semantic import SEMANTIC, SemanticCounts, count_classes, foreground
from segmetry.evaluate.surface import SURFACE, surface_scores
from segmetry.evaluate.topology import TOPOLOGY, recall_by_width, topology_scores
from segmetry.types import Calibration
from segmetry.units import PIXEL

Kind = Literal["instance", "semantic"]


@dataclass(frozen=True)
class Family:
    """Scores that are averaged alike.

    Parameters
    ----------
    averaging : str
        In words; it stands in every output.
    scores : mapping of str to Score
    kinds : tuple of str
        Kinds of labels that it judges.
    """

    averaging: str
    scores: Mapping[str, Score]
    kinds: tuple[str, ...] = get_args(Kind)


_PIXELWISE = (
    SEMANTIC
    | {f"boundary_{name}": score for name, score in BOUNDARY.items()}
    | SURFACE
    | TOPOLOGY
    | RANKING
    | CALIBRATION
)

POOLED = {name: score for name, score in INSTANCE.items() if name not in ("count_error", "splits", "merges")}
"""Totals grow with the number of images: they say nothing of the images to come, and have no interval."""

FAMILIES: Mapping[str, Family] = MappingProxyType(
    {
        "instance": Family("mean over images", INSTANCE, ("instance",)),
        "instance_pooled": Family("all objects of all images together", POOLED, ("instance",)),
        "published_emps": Family("mean over images", PUBLISHED_EMPS, ("instance",)),
        "semantic": Family("mean over images", _PIXELWISE),
        "semantic_pooled": Family("all pixels of all images together", SEMANTIC),
        "physical": Family("mean over images", PHYSICAL, ("instance",)),
    }
)
"""Every family of scores by its name; objects are judged as pixels too, all objects being one class."""

HEADLINE: Mapping[str, str] = MappingProxyType({"instance": "instance.ap50", "semantic": "semantic.mean_iou"})
"""What methods are ranked by, for each kind."""


def score_of(name: str, kind: Kind) -> Score:
    """Return the record of a score by its full name, such as ``"instance.ap50"`` or ``"semantic.iou[carbide]"``.

    Raises
    ------
    OptionError
        If there is no such score for this kind of labels; the near name is offered.
    """
    family, _, rest = name.partition(".")
    known = {key: one.scores for key, one in FAMILIES.items() if kind in one.kinds}
    if family not in known:
        raise unknown_name(f"family of scores of {kind} labels", family, known)
    base = rest.partition("[")[0]
    if base not in known[family]:
        raise unknown_name(f"score in {family}", rest, known[family])
    return known[family][base]


@dataclass(frozen=True, eq=False)
class ImageScores:
    """What one image gave.

    Parameters
    ----------
    name : str
    kind : {"instance", "semantic"}
    values : mapping of family to mapping of score to float
        nan where a score cannot be had.
    instances : InstanceCounts or None
    pixels : SemanticCounts
        What adds up over images.
    unit : str
        Of the lengths.
    objects : tuple of dict
        What became of each object, lengths in pixels (of the shortest side); empty for classes.
    notes : tuple of str
    """

    name: str
    kind: Kind
    values: Mapping[str, Mapping[str, float]]
    instances: InstanceCounts | None
    pixels: SemanticCounts
    unit: str = PIXEL
    objects: tuple[Mapping[str, Any], ...] = ()
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return plain data, all that `from_dict` needs."""
        counts = self.instances
        return {
            "name": self.name,
            "kind": self.kind,
            "unit": self.unit,
            "values": {family: dict(scores) for family, scores in self.values.items()},
            "instances": counts and {f.name: np.asarray(getattr(counts, f.name)).tolist() for f in fields(counts)},
            "pixels": {
                "confusion": self.pixels.confusion.tolist(),
                "values": list(self.pixels.values),
                "names": list(self.pixels.names),
                "absolute_error": None if (e := self.pixels.absolute_error) is None else float(e),
            },
            "objects": [dict(row) for row in self.objects],
            "notes": list(self.notes),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> ImageScores:
        """Return the scores that `as_dict` gave as data; None stands for nan."""
        counts, pixels = data["instances"], data["pixels"]
        values = {
            family: {name: math.nan if value is None else value for name, value in scores.items()}
            for family, scores in data["values"].items()
        }
        error = pixels["absolute_error"]
        return cls(
            data["name"],
            data["kind"],
            values,
            counts and InstanceCounts(**{name: np.array(value, float) for name, value in counts.items()}),
            SemanticCounts(
                np.array(pixels["confusion"], np.int64),
                tuple(pixels["values"]),
                tuple(pixels["names"]),
                None if error is None else np.array(error),
            ),
            data["unit"],
            tuple(data["objects"]),
            tuple(data["notes"]),
        )


@dataclass(frozen=True)
class Rules:
    """How images are judged, the same for all.

    Parameters
    ----------
    kind : {"instance", "semantic"}
        Whether labels are objects or classes.
    tolerance : float
        Distance that a boundary may be off, in pixels: of the shortest side, where a voxel is longer one way.
    classes : mapping of int to str, optional
        Names of the classes; of semantic labels only.
    ignore : int, optional
        A value of the truth that is not to be judged.
    widths : tuple of float
        Rising widths in pixels between which the recall of skeletons is told apart, see `recall_by_width`; none leaves
        that out.

    Raises
    ------
    OptionError
        If the kind does not exist, the tolerance is negative, `ignore` is no whole number, or widths do not rise.
    """

    kind: Kind = "instance"
    tolerance: float = 2.0
    classes: Mapping[int, str] | None = None
    ignore: int | None = None
    widths: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if any(not 0 < a < b for a, b in itertools.pairwise((*self.widths, math.inf))):
            raise OptionError(f"widths are numbers above 0 that rise, got {', '.join(map(str, self.widths))}.")
        if self.kind not in get_args(Kind):
            raise unknown_name("kind of labels", self.kind, get_args(Kind))
        if not 0 <= self.tolerance < math.inf:
            raise OptionError(f"tolerance must be a distance of 0 pixels or more, got {self.tolerance}.")
        if self.ignore is not None and (isinstance(self.ignore, bool) or int(self.ignore) != self.ignore):
            raise OptionError(f"ignore is a label of the truth, a whole number, got {self.ignore!r}.")
        if self.classes and self.kind == "instance":
            raise OptionError("classes belong to semantic labels; use kind 'semantic'.")

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        classes = {str(value): name for value, name in self.classes.items()} if self.classes else None
        told = {"kind": self.kind, "tolerance_px": self.tolerance, "classes": classes, "ignore": self.ignore}
        return told | ({"widths_px": list(self.widths)} if self.widths else {})


def judge(
    truth: np.ndarray,
    prediction: np.ndarray,
    rules: Rules = Rules(),
    *,
    name: str = "image",
    calibration: Calibration | None = None,
    probability: np.ndarray | None = None,
) -> ImageScores:
    """Return every score of one image.

    Parameters
    ----------
    truth, prediction : arrays of int or bool, one shape, 2D or 3D
        Label images; 0 is background. Where both are masks, of 1 or of 255, that is the same class
        unless `Rules.classes` says otherwise.
    rules : Rules
    name : str
        What the image is called in tables.
    calibration : Calibration, optional
        Pixel size; without it lengths are in pixels.
    probability : array of float in [0, 1], or of uint8 or uint16, optional
        Of the foreground: gives ROC AUC, PR AUC, the mean absolute error, and how far it is calibrated.

    Raises
    ------
    ShapeMismatchError, LabelError, ImageError
        If these are no two label images of one shape, or the probability is none.

    Examples
    --------
    >>> truth = np.zeros((30, 40), int); truth[5:15, 5:15] = 1; truth[5:15, 20:30] = 2
    >>> found = np.where(truth == 1, 1, 0)
    >>> scores = judge(truth, found)
    >>> scores.values["instance"]["ap50"], scores.values["semantic"]["recall"]
    (0.5, 0.5)
    """
    spacing = calibration.spacing if calibration is not None and calibration.known else None
    tolerance = rules.tolerance * (min(spacing) if spacing else 1.0)
    values: dict[str, dict[str, float]] = {}
    instances: InstanceCounts | None = None
    objects: tuple[Mapping[str, Any], ...] = ()
    t, p = np.asarray(truth), np.asarray(prediction)
    not_judged = t == rules.ignore if rules.ignore is not None else None
    if not_judged is not None:
        t = np.where(not_judged, t.dtype.type(0), t)  # the value itself may be none that a label can have, such as -1
    if rules.kind == "instance":
        instances = count_instances(t, p, ignore=not_judged)
        values["instance"] = _plain(instances.scores())
        if t.ndim == 2:
            judged = p if not_judged is None else np.where(not_judged, p.dtype.type(0), p)
            values["published_emps"] = _plain(published_emps(t, judged))
        values["physical"] = _plain(physical_scores(t, p, calibration=calibration, ignore=not_judged))
        sides = tuple(length / min(spacing) for length in spacing) if spacing else None
        rows = object_outcomes(t, p, ignore=not_judged, spacing=sides)
        objects = tuple({str(key): value for key, value in row.items()} for row in rows.to_dict("records"))
        t, p = foreground(t), foreground(p)
    elif rules.classes is None and rules.ignore not in (1, 255) and _is_mask(t) and _is_mask(p):
        t, p = foreground(t), foreground(p)
    classes = rules.classes if rules.kind == "semantic" else {0: "background", 1: "foreground"}
    pixels = count_classes(t, p, classes=classes, ignore=not_judged, probability=probability)
    places: dict[str, Any] = {"ignore": not_judged, "spacing": spacing}
    border = boundary_f1(t, p, tolerance=tolerance, **places)
    values["semantic"] = _plain(
        pixels.scores()
        | {f"boundary_{one}": value for one, value in border.items()}
        | surface_scores(t, p, tolerance=tolerance, **places)
        | topology_scores(t, p, ignore=not_judged)
        | (recall_by_width(t, p, rules.widths, ignore=not_judged) if rules.widths else {})
    )
    if probability is not None:
        histogram = count_scores(t, probability, ignore=not_judged)
        values["semantic"] |= _plain(histogram.scores() | calibration_of(histogram))
    moved = misalignment(t, p, ignore=not_judged)
    return ImageScores(
        name,
        rules.kind,
        values,
        instances,
        pixels,
        calibration.unit if calibration is not None else PIXEL,
        objects,
        (f"WARNING: {moved}",) if moved is not None else (),
    )


def _is_mask(labels: np.ndarray) -> bool:
    """Return whether the only label is 1, or 255 as many programs write masks."""
    if labels.dtype.kind not in "biu" or not labels.size:
        return False
    low, high = labels.min(), labels.max()
    return low >= 0 and (high <= 1 or (high == 255 and not np.any((labels != 0) & (labels != 255))))


def _plain(scores: Mapping[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in scores.items()}
