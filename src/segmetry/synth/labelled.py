"""`LabelledScene`: an image whose every pixel has a known class, and what the kinds of such scenes share."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.errors import OptionError
from segmetry.synth.record import Record
from segmetry.types import Calibration, Image

if TYPE_CHECKING:
    import pandas as pd

TRIES = 40
"""Places tried for a body before another one is drawn."""
_MISSES = 10  # bodies without a place before the scene is full


@dataclass(frozen=True, eq=False)
class LabelledScene:
    """A simulated image, the class of every pixel, and what is true of the objects.

    Parameters
    ----------
    image : Image
        float32, calibrated.
    labels : int32 array
        Number of the class that covers at least half of the pixel, before blur; the shape of the image.
    classes : tuple of str
        Names of the classes, that of label 0 first.
    truth : pandas.DataFrame
        One row per object; ``truth.attrs["units"]`` has units.
    facts : mapping
        Area or volume of each class (of its pixels) and its share of the frame, and what else the kind knows.
    parameters : dict
        Plain data: the simulation with these options makes the same bytes.
    skeleton : pandas.DataFrame or None
        Of branching structures: one row per node of the graph.
    """

    image: Image
    labels: np.ndarray
    classes: tuple[str, ...]
    truth: pd.DataFrame
    facts: Mapping[str, Any]
    parameters: dict[str, Any] = field(default_factory=dict)
    skeleton: pd.DataFrame | None = None

    @classmethod
    def of(
        cls,
        o: Record,
        kind: str,
        pixels: np.ndarray,
        spacing: Sequence[float],
        labels: np.ndarray,
        classes: tuple[str, ...],
        truth: pd.DataFrame,
        *,
        facts: Mapping[str, Any] | None = None,
        skeleton: pd.DataFrame | None = None,
    ) -> LabelledScene:
        """Return the scene that a record's simulation drew; `facts` are those that its classes do not tell."""
        calibration = Calibration(tuple(spacing), o.unit, source="metadata", detail="simulated")
        image = Image(np.ascontiguousarray(pixels, np.float32), "", calibration, name=f"{kind}-{o.seed}")
        known = _class_facts(labels, classes, calibration) | dict(facts or {})
        return cls(image, labels, classes, truth, known, o.as_dict(), skeleton)


def _class_facts(labels: np.ndarray, classes: Sequence[str], calibration: Calibration) -> dict[str, Any]:
    """Return size (area or volume) and share of the frame of each class."""
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    pixel = math.prod(calibration.spacing)
    name = "area" if labels.ndim == 2 else "volume"
    return {
        name: {c: float(n) * pixel for c, n in zip(classes, counts)},
        "share": {c: float(n) / labels.size for c, n in zip(classes, counts)},
        "unit": f"{calibration.unit}^{labels.ndim}",
    }


def fill(kind: str, name: str, share: float, size: int, least: float, attempt: Callable[[float], int]) -> None:
    """Put bodies in one after the other, until less than `least` px of their share of a frame are left to cover.

    `attempt` is told how many px are left, and returns how many it covered: 0 where it found no place.
    """
    covered = misses = 0
    while (left := share * size - covered) > least:
        new = attempt(left)
        covered += new
        misses = 0 if new else misses + 1
        if misses > _MISSES:
            raise OptionError(
                f"simulate {kind}: {name}s cover {covered / size:.3g} of the frame and no more fit; lower "
                f"{name}_share from {share:g}, or use smaller ones."
            )


def table(rows: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a table whose columns, in order, are the keys of `units`."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(units))
    frame.attrs["units"] = dict(units)
    return frame


def body_row(
    class_: str, kind: str, centre: np.ndarray, size: float, touches_frame: bool, **more: float
) -> dict[str, Any]:
    """Return the row of a body of this area or volume; `more` are further columns, or outrank those."""
    ndim = len(centre)
    radius = (size / (math.pi if ndim == 2 else 4 / 3 * math.pi)) ** (1 / ndim)
    return {
        "class": class_,
        "kind": kind,
        **{f"centroid-{k}": float(c) for k, c in enumerate(centre)},
        "area": size,
        "equivalent_diameter": 2 * radius,
        "touches_frame": touches_frame,
        **more,
    }


def body_table(rows: Iterable[Mapping[str, Any]], unit: str, ndim: int = 2, **more: str) -> pd.DataFrame:
    """Return rows of `body_row` as a table, numbered from 1; `more` are the units of further columns."""
    units = {"object": "", "class": "", "kind": "", **{f"centroid-{k}": "px" for k in range(ndim)}}
    units |= {"area": f"{unit}^{ndim}", "equivalent_diameter": unit, **more, "touches_frame": ""}
    return table(({"object": k, **row} for k, row in enumerate(rows, start=1)), units)
