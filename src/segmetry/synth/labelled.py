"""`LabelledScene`: an image whose every pixel has a known class, and what the kinds of such scenes share."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from segmetry.types import Calibration, Image

if TYPE_CHECKING:
    import pandas as pd


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


def calibrated(pixels: np.ndarray, spacing: Sequence[float], unit: str, name: str) -> Image:
    """Return simulated pixels as a calibrated float32 image."""
    calibration = Calibration(tuple(spacing), unit, source="metadata", detail="simulated")
    return Image(np.ascontiguousarray(pixels, np.float32), "", calibration, name=name)


def class_facts(labels: np.ndarray, classes: Sequence[str], calibration: Calibration) -> dict[str, Any]:
    """Return size (area or volume) and share of the frame of each class."""
    counts = np.bincount(labels.ravel(), minlength=len(classes))
    pixel = math.prod(calibration.spacing)
    name = "area" if labels.ndim == 2 else "volume"
    return {
        name: {c: float(n) * pixel for c, n in zip(classes, counts)},
        "share": {c: float(n) / labels.size for c, n in zip(classes, counts)},
        "unit": f"{calibration.unit}^{labels.ndim}",
    }


def table(rows: Iterable[Mapping[str, Any]], units: Mapping[str, str]) -> pd.DataFrame:
    """Return rows as a table whose columns, in order, are the keys of `units`."""
    import pandas as pd

    frame = pd.DataFrame(list(rows), columns=list(units))
    frame.attrs["units"] = dict(units)
    return frame


def log_normal(rng: np.random.Generator, median: float, gsd: float) -> float:
    """Return a draw from the log-normal law of a median and a geometric standard deviation."""
    return median * math.exp(math.log(gsd) * rng.standard_normal())


def touches(window: Sequence[slice], mask: np.ndarray, shape: Sequence[int]) -> bool:
    """Return whether a mask in a window has a pixel in the outermost rows or columns of the frame."""
    for axis, (w, n) in enumerate(zip(window, shape)):
        ends = ([0] if w.start == 0 else []) + ([-1] if w.stop == n else [])
        if any(mask.take(end, axis=axis).any() for end in ends):
            return True
    return False
