"""FLoRIN: volumes without training. Local thresholds, morphology, components grouped by bounds, classes."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numba
import numpy as np

from segmetry.errors import OptionError, ShapeMismatchError
from segmetry.measure.labelling import keep_labels, label
from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.segment.groups import Group, keeps, largest, read_groups
from segmetry.segment.methods import Method, Scene
from segmetry.segment.ndnt import ndnt_mask
from segmetry.segment.windows import window_sides
from segmetry.types import Calibration, Image, Segmentation

_COARSE, _FINE = 0.1, 1e-3
"""First and last step of the search for a share."""


@dataclass(frozen=True, kw_only=True)
class Florin(Method):
    """Segmentation, identification, reconstruction: a local threshold, then components that keep bounds, then classes.

    The shell of a bone is dark, its marrow bright: with ``inner`` the image is also thresholded inverted, what of that
    lies in the shell is kept, and both become one object.

    References
    ----------
    Shahbazi et al., Sci. Rep. 8, 14247 (2018), doi:10.1038/s41598-018-32628-3. Here the window is centred and may be a
    length, the bright side is a pass of its own beside the dark one, and what lies inside is told by its contact with
    the shell.
    """

    name: ClassVar[str] = "florin"
    summary: ClassVar[str] = "local threshold, morphology, components grouped by bounds on any measure, 2D and 3D"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    share: float = option(0.25, "how far below (above) the local mean, as a share of it", low=0, high=1)
    side: str = option("dark", "which side of the local mean the objects are on", choices=("dark", "bright"))
    window: float | None = option(
        None,
        "side of the box; an eighth of the image along each axis where it is not given",
        unit="px",
        low=1,
        kind="float",
    )
    window_unit: str = option(
        "px", "whether window and radii count pixels or are lengths", choices=("px", "calibrated")
    )
    smoothing: float = option(0.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)
    opening: float = option(0.0, "radius of the ball that must fit into an object", unit="px", low=0)
    closing: float = option(0.0, "radius of the ball that must fit into a gap", unit="px", low=0)
    min_size: int = option(30, "drop components of fewer pixels (voxels)", unit="px", low=1)
    groups: str = option(
        "",
        "classes by bounds on measures, as 'bone: volume > 500, aspect_ratio > 2; rest:'; the first that fits counts",
        kind="text",
    )
    keep: int = option(0, "keep this many largest components of each class; 0 all", low=0)
    inner: bool = option(False, "add what lies inside the objects and is on the other side of the local mean")
    inner_share: float = option(0.0, "the share for that pass", low=0, high=1)
    enclosed: float = option(0.5, "part of its surface by which what lies inside touches the object", low=0, high=1)

    def __post_init__(self) -> None:
        super().__post_init__()
        read_groups(self.groups)

    def run(self, scene: Scene) -> Segmentation:
        """Return classes where groups are named, else numbered objects."""
        pixels, notes = scene.pixels, []
        usable = pixels if scene.valid is None else pixels[scene.valid]
        low, high = float(usable.min()), float(usable.max())
        if low < 0:
            pixels, high = pixels - np.float32(low), high - low
            notes.append("florin: intensities below 0 were shifted so that the lowest is 0")
        pixels = gaussian(pixels, self.smoothing) if self.smoothing else pixels
        calibrated = scene.unit != "px"
        sides = window_sides(
            self.window, self.window_unit, shape=pixels.shape, spacing=scene.spacing, calibrated=calibrated
        )
        if self.window_unit == "calibrated" and not calibrated and (self.opening or self.closing):
            raise OptionError("radii are lengths but the pixel size is unknown; give it, or use window_unit=px.")
        spacing = scene.spacing if self.window_unit == "calibrated" else (1.0,) * pixels.ndim

        inverted = np.float32(high) - pixels
        first, other = (pixels, inverted) if self.side == "dark" else (inverted, pixels)
        mask = ndnt_mask(first, window=sides, share=self.share, valid=scene.valid)
        mask = _closed(_opened(mask, self.opening, spacing), self.closing, spacing)
        labels = _no_specks(label(mask, connectivity=_FACES[mask.ndim]), self.min_size)
        n_before = int(labels.max(initial=0))
        image = Image(scene.pixels, calibration=Calibration(scene.spacing, scene.unit))
        groups = read_groups(self.groups) or (Group("object", ()),)
        classes = self._grouped(labels, image, groups)
        n_inner = 0
        if self.inner:
            mask = ndnt_mask(other, window=sides, share=self.inner_share, valid=scene.valid) & (classes == 0)
            within = _no_specks(label(mask, connectivity=_FACES[mask.ndim]), self.min_size)
            classes, n_inner = self._with_inner(classes, within, spacing, len(groups))
        if scene.valid is not None:
            classes[~scene.valid] = 0
        info: dict[str, Any] = {"polarity": self.side, "window_px": list(sides), "n_before": n_before}
        info["n_inner"] = n_inner
        if not self.groups:
            objects = label(classes > 0, connectivity=_FACES[mask.ndim])
            return Segmentation(objects, "instance", info=info, notes=tuple(notes))
        names = tuple(g.name for g in groups)
        info["components"] = {
            g: int(label(classes == k, connectivity=_FACES[mask.ndim]).max(initial=0)) for k, g in enumerate(names, 1)
        }
        return Segmentation(classes, "semantic", classes=("background", *names), info=info, notes=tuple(notes))

    def _grouped(self, labels: np.ndarray, image: Image, groups: tuple[Group, ...]) -> np.ndarray:
        """Return the class 1..K of each pixel: that of the first group whose bounds its component keeps."""
        table = np.zeros(int(labels.max(initial=0)) + 1, np.int32)
        for k, group in enumerate(groups, start=1):
            fits = keeps(labels, image, group.bounds) & (table == 0)
            table[fits] = np.where(largest(labels, fits, self.keep)[fits], k, -1)
        return np.maximum(table, 0)[labels]

    def _with_inner(
        self, classes: np.ndarray, within: np.ndarray, spacing: tuple[float, ...], n_classes: int
    ) -> tuple[np.ndarray, int]:
        """Return the classes with the components that lie inside an object of one, and how many those are."""
        merged, n_inner = classes.copy(), 0
        reach = max(self.closing, max(spacing))  # a seam of half-filled pixels lies between dark and bright
        for k in range(1, n_classes + 1):
            shell = _dilated(classes == k, reach, spacing)
            inside = _contact(within, shell, int(within.max(initial=0))) >= self.enclosed
            inside[0] = False
            if inside.any():
                n_inner += int(np.count_nonzero(inside))
                whole = _closed((classes == k) | inside[within], reach, spacing)
                merged[whole & (merged == 0)] = k
        return merged, n_inner


_FACES = {2: 4, 3: 6}


def _no_specks(labels: np.ndarray, min_size: int) -> np.ndarray:
    return keep_labels(labels, np.bincount(labels.ravel(), minlength=1) >= min_size)


def _dilated(mask: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Return all pixels within `radius` of a mask."""
    import edt

    return mask if radius == 0 else edt.edt(~mask, anisotropy=spacing, parallel=1) <= radius * (1 + 1e-6)


def _opened(mask: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Return the pixels that some ball inside the mask covers; what lies outside the frame goes on as it is there."""
    return ~_closed(~mask, radius, spacing) if radius else mask


def _closed(mask: np.ndarray, radius: float, spacing: tuple[float, ...]) -> np.ndarray:
    """Return a mask with the gaps filled that no ball fits into; the frame is no gap and no object."""
    if radius == 0:
        return mask
    return ~_dilated(~_dilated(mask, radius, spacing), radius, spacing)


def _contact(labels: np.ndarray, mask: np.ndarray, n: int) -> np.ndarray:
    """Return for labels 0..n the part of their faces, towards what has another label, that lies on a mask."""
    fill = (1,) * (3 - labels.ndim)
    faces = _faces(labels.reshape(fill + labels.shape), mask.reshape(fill + mask.shape), n)
    return faces[1] / np.maximum(faces[0], 1)


@numba.njit(cache=True, nogil=True)
def _faces(labels, mask, n):
    found = np.zeros((2, n + 1), np.int64)
    n0, n1, n2 = labels.shape
    for i in range(n0):
        for j in range(n1):
            for k in range(n2):
                here = labels[i, j, k]
                for axis in range(3):
                    a, b, c = i + (axis == 0), j + (axis == 1), k + (axis == 2)
                    if a < n0 and b < n1 and c < n2:
                        there = labels[a, b, c]
                        if here != there:
                            found[0, here] += 1
                            found[0, there] += 1
                            found[1, here] += mask[a, b, c]
                            found[1, there] += mask[i, j, k]
    return found


class Tuned(NamedTuple):
    """The record with the best share, its Dice score on the labelled slice, and all (share, score) tried, rising."""

    method: Florin
    score: float
    tried: tuple[tuple[float, float], ...]


def tuned_share(method: Florin, scene: Scene, truth: np.ndarray, *, plane: int, axis: int = 0) -> Tuned:
    """Return a method with the share whose result agrees best with one slice that somebody labelled.

    The whole volume is segmented for each share, so that volume bounds count; shares from 0 to .9 in steps of .1,
    then around the best in steps of a tenth of the step before, down to .001.

    Parameters
    ----------
    method : Florin
        All other options.
    scene : Scene
        The volume.
    truth : (M, N) array of int
        Classes as `method` numbers them; without groups anything but 0 is object.
    plane, axis : int
        Where the slice lies.

    Raises
    ------
    ShapeMismatchError
        If the slice and its truth differ in shape.
    OptionError
        If the truth holds no object: every share that finds nothing would be right.

    Notes
    -----
    The score is the mean Dice coefficient over the classes of the truth. Shahbazi's search asks how far the contours
    of slices are apart (Hausdorff) under a classifier learned backwards (reverse classification accuracy); with a slice
    at hand it can be asked directly. One slice says nothing about what other slices hold.
    """
    here = np.take(scene.pixels, plane, axis=axis)
    if here.shape != np.shape(truth):
        raise ShapeMismatchError(f"the labelled slice is {np.shape(truth)}, slice {plane} of the volume {here.shape}.")
    truth = np.asarray(truth) if method.groups else (np.asarray(truth) > 0).astype(np.int32)
    wanted = np.unique(truth[truth > 0])
    if not wanted.size:
        raise OptionError(f"the labelled slice {plane} holds no object; label one that does.")

    def score(share: float) -> float:
        found = np.take(dataclasses.replace(method, share=share).run(scene).labels, plane, axis=axis)
        found = found if method.groups else found > 0
        dice = [2 * np.sum((found == k) & (truth == k)) / np.sum((found == k) * 1 + (truth == k)) for k in wanted]
        return float(np.mean(dice))

    tried: dict[float, float] = {}
    step, shares = _COARSE, [i * _COARSE for i in range(10)]
    while True:
        for share in (round(min(max(s, 0.0), 1.0), 6) for s in shares):
            if share not in tried:
                tried[share] = score(share)
        best = max(tried, key=lambda s: (tried[s], -s))
        if step <= _FINE * 1.001:
            break
        step /= 10
        shares = [best + i * step for i in range(-9, 10)]
    return Tuned(dataclasses.replace(method, share=best), tried[best], tuple(sorted(tried.items())))
