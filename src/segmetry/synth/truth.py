"""What is known of a scene: masks, the table of truth, labels, and the law behind the sizes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from segmetry.synth.options import ParticleScene
from segmetry.synth.populate import Particle
from segmetry.synth.raster import touches
from segmetry.synth.shapes import outline_moments

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = [
    "label",
    "shape",
    "centroid-0",
    "centroid-1",
    "equivalent_diameter",
    "area",
    "aspect_ratio",
    "orientation",
    "feret_max",
    "feret_min",
    "core_diameter",
    "contrast",
    "cluster",
    "touches_frame",
    "fraction_in_frame",
    "visible_fraction",
]


class WholeMask(NamedTuple):
    """Pixels of one whole particle, hidden ones too, inside the frame: `mask` begins at pixel (row, col)."""

    label: int
    row: int
    col: int
    mask: np.ndarray

    @property
    def window(self) -> tuple[slice, slice]:
        """Where `mask` lies in the frame."""
        rows, cols = self.mask.shape
        return slice(self.row, self.row + rows), slice(self.col, self.col + cols)


def truth_row(
    o: ParticleScene,
    p: Particle,
    centre: np.ndarray,
    cluster: int,
    core: tuple[float, float] | None,
    mask: WholeMask,
    inside: float,
    frame: tuple[int, int],
) -> dict[str, Any]:
    """Return the row of truth of a particle that covers `inside` pixels of the frame; `tell` adds what is visible."""
    low, high = p.outline.min(axis=0) + centre, p.outline.max(axis=0) + centre
    cut = (low < -0.5).any() or (high > np.array(frame) - 0.5).any()
    area = math.pi / 4 * p.diameter**2
    moments = (
        {"aspect_ratio": 1.0, "orientation": math.nan, "feret_max": p.diameter, "feret_min": p.diameter}
        if p.is_round
        else outline_moments(p.outline)
    )
    size = o.pixel_size
    return {
        "shape": p.shape,
        "centroid-0": float(centre[0]),
        "centroid-1": float(centre[1]),
        "equivalent_diameter": p.diameter * size,
        "area": area * size**2,
        "aspect_ratio": moments["aspect_ratio"],
        "orientation": moments["orientation"],
        "feret_max": moments["feret_max"] * size,
        "feret_min": moments["feret_min"] * size,
        "core_diameter": p.diameter * size * core[0] if core else math.nan,
        "contrast": p.contrast,
        "cluster": int(cluster),
        "touches_frame": touches(mask.window, mask.mask, frame),
        "fraction_in_frame": min(1.0, inside / area) if cut else 1.0,
    }


def tell(
    ids: np.ndarray, whole: list[WholeMask], rows: list[dict[str, Any]], unit: str
) -> tuple[np.ndarray, tuple[WholeMask, ...], pd.DataFrame]:
    """Return labels, masks of whole particles and table of truth, numbered alike.

    Parameters
    ----------
    ids : (M, N) array of int
        The topmost particle of each pixel, 0 where there is none: 1 for the first of `whole`, and so on.
    whole, rows : list
        Mask and row of truth of each particle.
    unit : str
        Unit of the lengths in `rows`.
    """
    import pandas as pd

    shown = np.bincount(ids.ravel(), minlength=len(whole) + 1)[1:]
    # Those that show come first, so that the label image has no gaps.
    order = np.concatenate([np.flatnonzero(shown > 0), np.flatnonzero(shown == 0)]).astype(int)
    label_of = np.zeros(len(whole) + 1, np.int32)
    label_of[order + 1] = np.arange(1, len(whole) + 1)
    masks = tuple(w._replace(label=int(label_of[w.label])) for w in (whole[i] for i in order))
    seen = [r["fraction_in_frame"] * float(n) / float(w.mask.sum()) for r, n, w in zip(rows, shown, whole)]
    truth = pd.DataFrame([{**rows[i], "visible_fraction": seen[i]} for i in order], columns=_COLUMNS[1:])
    truth.insert(0, "label", np.arange(1, len(order) + 1))
    units = {
        "centroid-0": "px",
        "centroid-1": "px",
        "equivalent_diameter": unit,
        "area": f"{unit}^2",
        "orientation": "°",
        "feret_max": unit,
        "feret_min": unit,
        "core_diameter": unit,
    }
    truth.attrs["units"] = {name: units.get(name, "") for name in _COLUMNS}
    return label_of[ids], masks, truth


def law_of_sizes(o: ParticleScene) -> dict[str, Any]:
    """Return the law of the diameters and its quantiles."""
    if o.diameters is not None:
        d = np.asarray(o.diameters, float)
        if not len(d):
            return {"law": "given", "unit": o.unit}
        q = np.quantile(d, (0.1, 0.5, 0.9))
        return {
            "law": "given",
            "median": float(q[1]),
            "gsd": float(np.exp(np.log(d).std())),
            "mean": float(d.mean()),
            "d10": float(q[0]),
            "d50": float(q[1]),
            "d90": float(q[2]),
            "unit": o.unit,
        }
    s = math.log(o.gsd)
    m, z = o.median_diameter, 1.2815515655446004  # the normal law's 90 % point
    return {
        "law": "log-normal",
        "median": m,
        "gsd": o.gsd,
        "mean": m * math.exp(s * s / 2),
        "d10": m * math.exp(-z * s),
        "d50": m,
        "d90": m * math.exp(z * s),
        "unit": o.unit,
    }
