"""The catalogue: one record per measured quantity. Table heads, units, help and report come from it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from segmetry.measure.regions import FEW_PIXELS, Regions
from segmetry.measure.shape import ROD_ASPECT, ROUND_ASPECT, SHAPES
from segmetry.units import PIXEL

Kind = Literal["length", "px", "angle", "intensity", "nats", "number", "flag", "text"]


@dataclass(frozen=True)
class Measure:
    """One measured quantity.

    Parameters
    ----------
    name : str
        The column; a measure with K values per object fills the columns ``name-0`` .. ``name-(K-1)``.
    length_power : int
        2 for an area, 1 a length, 0 a ratio, -1 one over a length: what doubling the pixel size does to it.
    compute : callable
        All objects at once: `Regions` in, an array (L,) or (L, K) out.
    meaning : str
        Shown by the command line, the report and the docs: what it is, and how it is estimated.
    kind : {"length", "px", "angle", "intensity", "nats", "number", "flag", "text"}
        What the value is; with `length_power` it gives the unit.
    dims : tuple of int
        Whether it is defined for images (2), volumes (3) or both.
    needs_image : bool
        Whether it needs intensities.
    needs_segmentation : {"", "scores", "uncertainty", "epistemic", "on_edge"}
        The field of a `Segmentation`, beyond its labels, that it needs.
    """

    name: str
    length_power: int
    compute: Callable[[Regions], np.ndarray]
    meaning: str
    kind: Kind = "length"
    dims: tuple[int, ...] = (2, 3)
    needs_image: bool = False
    needs_segmentation: Literal["", "scores", "uncertainty", "epistemic", "on_edge"] = ""

    def unit(self, length: str) -> str:
        """Return the unit, given that of a length: ``nm^2``, ``px``, ``°``, ``intensity``, ``nats``, or nothing."""
        if self.kind == "length":
            return {0: "", 1: length}.get(self.length_power, f"{length}^{self.length_power}")
        return {"px": PIXEL, "angle": "°", "intensity": "intensity", "nats": "nats"}.get(self.kind, "")


def _orientation(r: Regions) -> np.ndarray:
    a, b, c = r.covariance[:, 0, 0], r.covariance[:, 1, 1], r.covariance[:, 0, 1]
    angle = np.degrees(0.5 * np.arctan2(2 * c, a - b))
    round_ = np.hypot(a - b, 2 * c) <= 1e-9 * (a + b)
    return r.form(np.where(round_, np.nan, np.where(angle <= -90, angle + 180, angle)))


def _eccentricity(r: Regions) -> np.ndarray:
    return r.form(np.sqrt(np.maximum(1 - (r.axes[:, -1] / r.axes[:, 0]) ** 2, 0)))


def _contrast_to_noise(r: Regions) -> np.ndarray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = (r.intensities.mean - r.rings.mean) / r.rings.std
    return np.where(np.isfinite(ratio), ratio, np.nan)


def _edge_sharpness(r: Regions) -> np.ndarray:
    dy, dx = r.spacing
    rows = 2 * (r.n_pixels - r.sums[:, 21])  # faces crossed along the rows' axis
    cols = 2 * (r.n_pixels - r.sums[:, 19])
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (r.rings.step_row * rows * dx / dy + r.rings.step_col * cols * dy / dx) / r.boundary
        sharpness = slope / (r.intensities.mean - r.rings.mean)
    return np.where(np.isfinite(sharpness), sharpness, np.nan)


def _neighbour(r: Regions) -> np.ndarray:
    if r.n < 2:
        return np.full(r.n, np.nan)
    from scipy.spatial import cKDTree

    points = r.centroid * np.asarray(r.spacing)
    return cKDTree(points).query(points, k=2)[0][:, 1]


def _edge_weight(r: Regions) -> np.ndarray:
    low, high = r.frame
    room = (high - low - 1) - (r.high - r.low)
    hidden, clear = r.behind_text
    with np.errstate(divide="ignore", invalid="ignore"):
        weight = np.prod((high - low) / room, axis=1) / clear
    return np.where(r.touches_edge | hidden | (room <= 0).any(axis=1) | (clear <= 0), np.nan, weight)


def _shape(r: Regions) -> np.ndarray:
    names = np.array(SHAPES, dtype=object)[r.shapes.which]
    names[r.undefined] = None
    return names


def _contour(r: Regions) -> np.ndarray:
    names = np.array(["drawn", "edge"], dtype=object)[(r.on_edge > 0).astype(int)]
    names[np.isnan(r.on_edge)] = None
    return names


def _equivalent_diameter(r: Regions) -> np.ndarray:
    return 2 * np.sqrt(r.area / math.pi) if r.ndim == 2 else np.cbrt(6 * r.area / math.pi)


_IMAGE: tuple[int, ...] = (2,)
_VOLUME: tuple[int, ...] = (3,)

MEASURES: dict[str, Measure] = {
    m.name: m
    for m in (
        Measure("num_pixels", 0, lambda r: r.n_pixels, "number of pixels (voxels)", "number"),
        Measure("area", 2, lambda r: r.area, "pixels inside, times the area of a pixel", dims=_IMAGE),
        Measure("volume", 3, lambda r: r.area, "voxels inside, times the volume of a voxel", dims=_VOLUME),
        Measure(
            "equivalent_diameter", 1, _equivalent_diameter, "diameter of the disk (ball) with the same area (volume)"
        ),
        Measure(
            "centroid", 0, lambda r: r.centroid,
            "centre of mass of the pixels, in array order; the centre of the first pixel is 0", "px",
        ),
        Measure(
            "bbox", 0, lambda r: np.concatenate([r.low, r.high], axis=1),
            "bounding box: first index along each axis, then one after the last along each axis", "px",
        ),
        Measure(
            "axis_major_length", 1, lambda r: r.axes[:, 0],
            "long axis of the ellipse (ellipsoid) with the second moments of the pixels' centres, as in scikit-image: "
            "the 1/12 px² that little squares would add (as MATLAB does) is left out, because disks come out right "
            "without it and 0.6 % too wide with it at radius 5 px; it is only the floor, so no axis is below 1.15 px",
        ),
        Measure(
            "axis_medium_length", 1, lambda r: r.axes[:, 1],
            "middle axis of the ellipsoid with the same second moments, as for axis_major_length", dims=_VOLUME,
        ),
        Measure(
            "axis_minor_length", 1, lambda r: r.axes[:, -1],
            "short axis of the ellipse (ellipsoid) with the same second moments, as for axis_major_length",
        ),
        Measure(
            "eccentricity", 0, _eccentricity,
            "of that ellipse: 0 for a circle, near 1 for a line; nan for one pixel", dims=_IMAGE,
        ),
        Measure(
            "orientation", 0, _orientation,
            "angle between the axis of the rows (downwards) and the long axis of the ellipse, above -90 and up to 90, "
            "positive towards rising columns, in the calibrated plane; nan where the ellipse is a circle",
            "angle", dims=_IMAGE,
        ),
        Measure(
            "aspect_ratio", 0, lambda r: r.form(r.axes[:, 0] / r.axes[:, -1]),
            "long over short axis of the ellipse (ellipsoid): 1 or more, the same however the object is turned",
        ),
        Measure(
            "aspect_ratio_rectangle", 0, lambda r: r.form(r.hulls.rectangle_long / r.hulls.rectangle_short),
            "long over short side of the rectangle of least area around the object, at any angle: 1 or more",
            dims=_IMAGE,
        ),
        Measure(
            "perimeter", 1, lambda r: r.boundary,
            "length of the boundary, holes included, by Crofton's formula in four directions: unbiased for smooth "
            "shapes, up to 5 % off for straight edges at a bad angle", dims=_IMAGE,
        ),
        Measure(
            "surface_area", 2, lambda r: r.boundary,
            "area of the surface, cavities included, by Crofton's formula in 13 directions", dims=_VOLUME,
        ),
        Measure(
            "circularity", 0, lambda r: r.form(4 * math.pi * r.area / r.boundary**2),
            "4π area / perimeter² (the form factor of ISO 9276-6): 1 for a disk; not clipped, so small round objects "
            "scatter around 1", dims=_IMAGE,
        ),
        Measure(
            "sphericity", 0, lambda r: r.form(math.pi ** (1 / 3) * (6 * r.area) ** (2 / 3) / r.boundary),
            "surface of the ball of the same volume over the object's surface: 1 for a ball; not clipped",
            dims=_VOLUME,
        ),
        Measure(
            "feret_max", 1, lambda r: r.ferets[0],
            "largest distance of two parallel lines (planes) that hold the object between them, measured to the "
            "midpoints of the pixels' edges",
        ),
        Measure("feret_min", 1, lambda r: r.ferets[1], "least distance of two such lines (planes)"),
        Measure(
            "feret_ratio", 0, lambda r: r.form(r.ferets[1] / r.ferets[0]),
            "feret_min / feret_max (the aspect ratio of ISO 9276-6): 1 or less",
        ),
        Measure(
            "area_convex", 2, lambda r: r.area_convex,
            "area of the convex hull of the midpoints of the pixels' edges, never less than the area", dims=_IMAGE,
        ),
        Measure("solidity", 0, lambda r: r.form(r.area / r.area_convex), "area / area_convex: 1 or less", dims=_IMAGE),
        Measure(
            "convexity", 0, lambda r: r.form(r.hulls.perimeter / r.boundary),
            "perimeter of the convex hull / perimeter: 1 for a smooth convex object, less for a rough one",
            dims=_IMAGE,
        ),
        Measure(
            "roundness", 0, lambda r: r.form(4 * r.area / (math.pi * r.ferets[0] ** 2)),
            "4 area / (π feret_max²) (ISO 9276-6): 1 for a disk, less for a long one", dims=_IMAGE,
        ),
        Measure(
            "euler_number", 0, lambda r: r.sums[:, 33] - r.sums[:, 32],
            "pieces minus holes, where pixels that share a corner are joined", "number", dims=_IMAGE,
        ),
        Measure(
            "intensity_mean", 0, lambda r: r.intensities.mean, "mean intensity inside", "intensity", needs_image=True,
        ),
        Measure(
            "intensity_min", 0, lambda r: r.intensities.low, "least intensity inside", "intensity", needs_image=True,
        ),
        Measure(
            "intensity_max", 0, lambda r: r.intensities.high, "largest intensity inside", "intensity", needs_image=True,
        ),
        Measure(
            "intensity_std", 0, lambda r: r.intensities.std,
            "standard deviation of the intensities inside (divided by n)", "intensity", needs_image=True,
        ),
        Measure(
            "contrast", 0, lambda r: r.intensities.mean - r.rings.mean,
            "mean intensity inside minus that of the surroundings: up to 6 px from the object, further than 2 px from "
            "every object and ignored pixel; nan where there are none", "intensity", dims=_IMAGE, needs_image=True,
        ),
        Measure(
            "contrast_to_noise", 0, _contrast_to_noise,
            "contrast / standard deviation of the surroundings", "number", dims=_IMAGE, needs_image=True,
        ),
        Measure(
            "edge_sharpness", -1, _edge_sharpness,
            "mean slope of the intensity across the boundary, outwards to inwards, over the contrast: one over the "
            "width of the edge; 1 to 1.5 per px for a step; noise does not bias it", dims=_IMAGE, needs_image=True,
        ),
        Measure(
            "shape", 0, _shape,
            "the ideal figure that covers the outline best: sphere (disk), ellipsoid (ellipse of aspect ratio "
            f"{ROUND_ASPECT} or more), rod (any such figure from aspect ratio {ROD_ASPECT} on), cube (square, "
            "rectangle), triangle, hexagon, or irregular where none does; of the part in view; missing for one "
            "pixel", "text", dims=_IMAGE,
        ),
        Measure(
            "shape_confidence", 0, lambda r: r.shapes.confidence,
            "share of that figure in the doubt that the raster leaves, 0 to 1; says nothing about what a projection "
            "hides", "number", dims=_IMAGE,
        ),
        Measure(
            "nearest_neighbour_distance", 1, _neighbour,
            "distance from centroid to the nearest other centroid; nan for a lone object",
        ),
        Measure(
            "score", 0, lambda r: r.score,
            "how sure the method is that this is a particle, 0 to 1; calibrated where the method says so",
            "number", needs_segmentation="scores",
        ),
        Measure(
            "uncertainty", 0, lambda r: r.mean_uncertainty,
            "mean over its pixels of the method's predictive uncertainty: 0 where it is sure, at most ln 2 = 0.69 for "
            "particle or not", "nats", needs_segmentation="uncertainty",
        ),
        Measure(
            "epistemic", 0, lambda r: r.mean_epistemic,
            "the part of uncertainty that is about the model: what its samples disagree on (mutual information), which "
            "more training images of this kind would lower", "nats", needs_segmentation="epistemic",
        ),
        Measure(
            "aleatoric", 0, lambda r: r.mean_uncertainty - r.mean_epistemic,
            "the rest of uncertainty: what the image itself leaves open, the mean of the samples' own entropies",
            "nats", needs_segmentation="epistemic",
        ),
        Measure(
            "contour", 0, _contour,
            "edge where the contour was placed on the edge of the grey, drawn where it stays as the network drew it: "
            "no edge was clear, or refine=false", "text", needs_segmentation="on_edge",
        ),
        Measure(
            "edge_weight", 0, _edge_weight,
            "how many objects of its size stand behind one that was seen whole: Miles–Lantuéjoul, frame over the "
            "positions in the frame where its box would touch neither the edge nor burned-in text; nan for objects "
            "whose box touches one of them, since a part may be hidden", "number",
        ),
        Measure(
            "touches_edge", 0, lambda r: r.touches_edge,
            "it reaches the outermost pixels of the frame, the box around all pixels that are not ignored", "flag",
        ),
        Measure("few_pixels", 0, lambda r: r.n_pixels < FEW_PIXELS, f"fewer than {FEW_PIXELS} pixels", "flag"),
        Measure(
            "saturated", 0, lambda r: r.intensities.clipped > 0.01,
            "more than 1 % of its pixels are at the limit of the intensity range", "flag", needs_image=True,
        ),
        Measure(
            "uncalibrated", 0, lambda r: np.full(r.n, not r.calibration.known), "the pixel size is not known", "flag"
        ),
        Measure(
            "over_text", 0, lambda r: r.over_text,
            "it lies on, or next to, a pixel that is ignored: text, a scale bar", "flag",
        ),
    )
}  # fmt: skip
"""Every measure, in the order of the table's columns."""
