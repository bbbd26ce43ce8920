"""`Regions`: the objects of one image, with everything that measures are computed from, each made once when asked."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from segmetry.measure import crofton, moments
from segmetry.measure.calipers3d import feret3d
from segmetry.measure.hull import Hulls, hulls
from segmetry.measure.intensity import Intensities, Rings, intensities, rings
from segmetry.measure.runs import Runs
from segmetry.measure.shape import Shapes, shapes
from segmetry.types import Calibration, Segmentation, frame_of

FEW_PIXELS = 20
"""Objects of fewer pixels (voxels) carry the flag `few_pixels`: their form is mostly that of the raster."""


@dataclass(frozen=True, eq=False)
class Regions:
    """The objects of an image or volume. Every attribute is an array with one entry (or row) per object.

    Parameters
    ----------
    runs : Runs
        Where the objects are.
    calibration : Calibration
        Length of a pixel along each axis.
    image : array or None
        Intensities, in the shape of the label image.
    ignore : array of bool or None
        True where pixels are not specimen.
    limits : (low, high) or None
        Intensities at and beyond which a pixel is saturated, where the image came in another type than it has here.
    segmentation : Segmentation or None
        What the method states beyond the labels: scores, maps of uncertainty.
    """

    runs: Runs
    calibration: Calibration
    image: np.ndarray | None = None
    ignore: np.ndarray | None = None
    limits: tuple[float, float] | None = None
    segmentation: Segmentation | None = None

    @property
    def n(self) -> int:
        """Number of objects."""
        return self.runs.n_regions

    @property
    def ndim(self) -> int:
        """2 or 3."""
        return len(self.runs.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Length of a pixel along each axis."""
        return self.calibration.spacing

    @cached_property
    def sums(self) -> np.ndarray:
        """The exact sums of the fused pass; see `segmetry.measure.moments`."""
        return moments.sums(self.runs)

    @cached_property
    def labels(self) -> np.ndarray:
        """The label image."""
        return self.runs.paint()

    @cached_property
    def n_pixels(self) -> np.ndarray:
        """Number of pixels."""
        return self.sums[:, moments.N]

    @cached_property
    def area(self) -> np.ndarray:
        """Area (volume)."""
        return self.n_pixels * math.prod(self.spacing)

    @cached_property
    def low(self) -> np.ndarray:
        """(L, ndim) first index of the bounding box along each axis."""
        return self.sums[:, moments.LOW][:, 3 - self.ndim :]

    @cached_property
    def high(self) -> np.ndarray:
        """(L, ndim) one after the last index of the bounding box along each axis."""
        return self.sums[:, moments.HIGH][:, 3 - self.ndim :]

    @cached_property
    def centroid(self) -> np.ndarray:
        """(L, ndim) centre of mass of the pixels, in px."""
        origin, total = self.sums[:, moments.ORIGIN], self.sums[:, moments.SUM]
        return (origin + total / self.n_pixels[:, None])[:, 3 - self.ndim :]

    @cached_property
    def covariance(self) -> np.ndarray:
        """(L, ndim, ndim) covariance of the centres of the pixels, in units of the spacing."""
        axes = range(3 - self.ndim, 3)
        n = self.n_pixels.astype(float)
        mean = [self.sums[:, moments.SUM.start + axis] / n for axis in range(3)]
        matrix = np.empty((self.n, self.ndim, self.ndim))
        for at, (i, j) in enumerate(((0, 0), (1, 1), (2, 2), (0, 1), (0, 2), (1, 2))):
            if i in axes and j in axes:
                value = self.sums[:, moments.SUM2.start + at] / n - mean[i] * mean[j]
                value = value * (self.spacing[i - 3] * self.spacing[j - 3])
                matrix[:, i - 3, j - 3] = matrix[:, j - 3, i - 3] = value
        return matrix

    @property
    def thinnest(self) -> float:
        """Least second moment of an object: that of the shortest side of a pixel."""
        return min(self.spacing) ** 2 / 12

    @cached_property
    def axes(self) -> np.ndarray:
        """(L, ndim) full axes of the ellipse (ellipsoid) with this covariance, longest first.

        The centres of the pixels in a disk have, over random positions, the second moments of the disk. Taking pixels
        as little squares would add 1/12 px² and make a disk of radius 5 px too wide by 0.6 %. Only where an object is
        as thin as its pixels does that term speak, as a floor: no axis is shorter than that of one pixel.
        """
        values = np.linalg.eigvalsh(self.covariance) if self.ndim == 3 else _eigenvalues2(self.covariance)
        return 2 * np.sqrt(self.ndim + 2.0) * np.sqrt(np.maximum(values[:, ::-1], self.thinnest))

    @cached_property
    def boundary(self) -> np.ndarray:
        """Crofton perimeter (surface area)."""
        return crofton.boundary(self.sums, self.spacing)

    @cached_property
    def hulls(self) -> Hulls:
        """Convex hull and calipers of the objects of an image."""
        return hulls(self.runs, self.sums, (self.spacing[0], self.spacing[1]))

    @cached_property
    def ferets(self) -> np.ndarray:
        """(2, L) largest and least caliper width."""
        if self.ndim == 2:
            return np.stack([self.hulls.feret_max, self.hulls.feret_min])
        return feret3d(self.runs, (self.spacing[0], self.spacing[1], self.spacing[2]))

    @cached_property
    def area_convex(self) -> np.ndarray:
        """Area of the convex hull, never less than the object's."""
        return np.maximum(self.hulls.area, self.area)

    @cached_property
    def intensities(self) -> Intensities:
        """Intensities inside; all nan without an image."""
        if self.image is None:
            return Intensities(*np.full((5, self.n), np.nan))
        return intensities(self.runs, self.image, self.limits)

    @cached_property
    def rings(self) -> Rings:
        """Intensities around, and the step at the boundary; all nan without an image."""
        if self.image is None or self.n == 0:
            return Rings(*np.full((4, self.n), np.nan))
        return rings(self.runs, self.sums, self.labels, self.image, self.ignore)

    @cached_property
    def shapes(self) -> Shapes:
        """Shape classes of the objects of an image."""
        return shapes(self.runs, self.sums, self.covariance, (self.spacing[0], self.spacing[1]))

    @cached_property
    def frame(self) -> tuple[np.ndarray, np.ndarray]:
        """First index, and one after the last, of the box that holds all pixels that are not ignored."""
        low, high = np.array(frame_of(self.ignore, tuple(self.runs.shape))).T
        return low, high

    @cached_property
    def touches_edge(self) -> np.ndarray:
        """Whether an object has a pixel in the outermost row, column or plane of the frame (or beyond it)."""
        low, high = self.frame
        return np.any((self.low <= low) | (self.high >= high), axis=1)

    @cached_property
    def over_text(self) -> np.ndarray:
        """Whether an object lies on, or next to, an ignored pixel inside the frame."""
        from segmetry.measure.flags import touches_mask

        if self.ignore is None or self.n == 0:
            return np.zeros(self.n, bool)
        inside = np.zeros_like(self.ignore)
        box = tuple(slice(a, b) for a, b in zip(*self.frame))
        inside[box] = self.ignore[box]
        return touches_mask(self.runs, inside) if inside.any() else np.zeros(self.n, bool)

    @cached_property
    def behind_text(self) -> tuple[np.ndarray, np.ndarray]:
        """Whether ignored pixels inside the frame touch an object's box, and the share of its places where none do."""
        from segmetry.measure.flags import clear_of_mask

        box = tuple(slice(a, b) for a, b in zip(*self.frame))
        if self.ignore is None or self.n == 0 or self.ndim == 3 or not self.ignore[box].any():
            return self.over_text, np.ones(self.n)
        return clear_of_mask(self.ignore[box], *self.box_in_frame)

    @cached_property
    def box_in_frame(self) -> tuple[np.ndarray, np.ndarray]:
        """(L, ndim) ends of the bounding box as seen from the frame's corner; what lies beyond the frame is cut off."""
        low, high = self.frame
        first = np.clip(self.low - low, 0, high - low - 1)
        return first, np.clip(self.high - low, first + 1, high - low)

    @cached_property
    def score(self) -> np.ndarray:
        """Confidence of the segmentation in each object; nan where the method states none."""
        return self._stated("scores")

    @cached_property
    def on_edge(self) -> np.ndarray:
        """1 where an object's contour was placed on the edge of the grey, 0 where not; nan where that is not known."""
        return self._stated("on_edge")

    def _stated(self, name: str) -> np.ndarray:
        found, values = np.full(self.n, np.nan), getattr(self.segmentation, name, None)
        if values is not None:
            known = (self.runs.labels >= 1) & (self.runs.labels <= len(values))
            found[known] = np.asarray(values, float)[self.runs.labels[known] - 1]
        return found

    @cached_property
    def mean_uncertainty(self) -> np.ndarray:
        """Mean over an object's pixels of the segmentation's uncertainty map, nats; nan where there is none."""
        return self._mean_of("uncertainty")

    @cached_property
    def mean_epistemic(self) -> np.ndarray:
        """The same of the epistemic part."""
        return self._mean_of("epistemic")

    def _mean_of(self, name: str) -> np.ndarray:
        values = getattr(self.segmentation, name, None)
        if values is None:
            return np.full(self.n, np.nan)
        kind = np.float64 if values.dtype == np.float64 else np.float32
        return intensities(self.runs, np.ascontiguousarray(values, kind)).mean

    @cached_property
    def undefined(self) -> np.ndarray:
        """Whether an object is a single pixel, which has a size and a place but no form."""
        return self.n_pixels < 2

    def form(self, values: np.ndarray) -> np.ndarray:
        """Return a measure of form: nan for single pixels."""
        return np.where(self.undefined, np.nan, values)


def _eigenvalues2(matrix: np.ndarray) -> np.ndarray:
    """Return the eigenvalues of (L, 2, 2) symmetric matrices, rising, in closed form."""
    a, b, c = matrix[:, 0, 0], matrix[:, 1, 1], matrix[:, 0, 1]
    largest = (a + b) / 2 + np.hypot((a - b) / 2, c)
    least = np.divide(a * b - c * c, largest, out=np.zeros_like(largest), where=largest > 0)
    return np.stack([least, largest], axis=1)
