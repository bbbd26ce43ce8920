"""What every method that finds particles shares: polarity, and the way from a mask to numbered objects."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import cc3d
import numpy as np

from segmetry.errors import OptionError
from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.prepare.noise import noise_sigma
from segmetry.segment.methods import Method, Scene
from segmetry.segment.objects import components, fill_holes, remove_small
from segmetry.segment.pick import pick_particles
from segmetry.segment.polarity import choose_polarity
from segmetry.segment.split import split_touching
from segmetry.types import Segmentation
from segmetry.units import PIXEL


class View(NamedTuple):
    """An image turned so that its particles are bright.

    Parameters
    ----------
    pixels : float32 array
        ``intensity - low`` for bright particles, ``high - intensity`` for dark ones: inverting an image and its
        polarity changes nothing, to the last bit. Smoothed.
    raw : float32 array
        The same, not smoothed.
    valid : bool array or None
        False where pixels are not specimen.
    sign, origin : float
        ``intensity = origin + sign * pixels``, before smoothing.
    noise : float
        Standard deviation of the noise before smoothing.
    spacing : tuple of float
        Length of a pixel along each axis.
    calibrated : bool
        Whether `spacing` is known.
    """

    pixels: np.ndarray
    raw: np.ndarray
    valid: np.ndarray | None
    sign: float
    origin: float
    noise: float
    spacing: tuple[float, ...]
    calibrated: bool

    def intensity(self, level: float) -> float:
        """Return a level of `pixels` as intensity of the image."""
        return float(self.origin + self.sign * level)

    @property
    def usable(self) -> np.ndarray:
        """The usable pixels as a flat array."""
        return self.pixels.ravel() if self.valid is None else self.pixels[self.valid]


class Found(NamedTuple):
    """Pixels that may be particles (uint8, 1 inside), and what the method chose to find them."""

    mask: np.ndarray
    info: Mapping[str, Any]


Outline = Callable[[np.ndarray, dict[str, Any]], np.ndarray]
"""Labels in, labels with better outlines out; what is worth knowing goes into the dictionary."""


@dataclass(frozen=True, kw_only=True)
class Objects(Method):
    """Base of the methods that number objects: from a mask to labels."""

    fill_holes: bool = option(True, "count holes that are closed all round to their particle")
    min_size: int = option(30, "drop particles of fewer pixels (voxels)", unit="px", low=1)
    split: bool = option(True, "cut touching particles where the contour is concave at both ends of the cut (2D)")
    pick: str = option(
        "all",
        "keep all particles, those that do not touch the frame, or only isolated ones (2D)",
        choices=("all", "inside", "isolated"),
    )

    def finish(
        self,
        mask: np.ndarray,
        valid: np.ndarray | None,
        info: Mapping[str, Any],
        notes: list[str],
        *,
        outline: Outline | None = None,
    ) -> Segmentation:
        """Return numbered objects of a mask: holes filled, specks dropped, touching particles cut, some picked.

        `outline` may move the outlines of numbered objects before some are picked.
        """
        info = dict(info)
        labels = self._objects_3d(mask, notes) if mask.ndim == 3 else self.objects_2d(mask, info)
        if outline is not None:
            labels = outline(labels, info)
        if valid is not None:
            labels = drop_small_labels(np.where(valid, labels, 0), self.min_size)
        labels, picking = pick_particles(labels, self.pick, valid, dropped_areas=info.pop("dropped_areas", ()))
        info |= {"n_before": picking.n_before, "picking": picking.as_dict()}
        return Segmentation(labels, "instance", info=info, notes=(*notes, *self.remarks(info)))

    def remarks(self, info: Mapping[str, Any]) -> tuple[str, ...]:
        """Return what the user should know of what was found."""
        return ()

    def objects_2d(self, mask: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return numbered objects of a 2D mask; what is worth knowing goes into `info`.

        Areas (px) of particles that were dropped for their size go into ``info["dropped_areas"]``, for the account of
        the picking.
        """
        if self.fill_holes:
            mask = fill_holes(mask)
        mask = remove_small(mask, self.min_size)
        if not self.split:
            return components(mask).labels
        return drop_small_labels(split_touching(mask), self.min_size)

    def _objects_3d(self, mask: np.ndarray, notes: list[str]) -> np.ndarray:
        if self.pick == "isolated":
            raise OptionError(f"{self.name}: pick=isolated needs a 2D image; use pick=inside for a volume.")
        if self.split:
            notes.append("touching particles are not split in volumes")
        if self.fill_holes:
            gaps = cc3d.connected_components(1 - mask.view(np.uint8), connectivity=26)
            outside = np.zeros(int(gaps.max()) + 1, bool)
            for axis in range(3):
                for end in (0, -1):
                    outside[np.unique(np.take(gaps, end, axis=axis))] = True
            outside[0] = False  # the objects
            mask = (~outside[gaps]).view(np.uint8)
        labels = cc3d.connected_components(mask, connectivity=6).astype(np.int32)
        return drop_small_labels(labels, self.min_size)


@dataclass(frozen=True, kw_only=True)
class ByForeground(Objects):
    """Base of the methods that find particles of one polarity; a subclass gives `foreground`."""

    polarity: str = option(
        "auto", "particles are brighter or darker than what surrounds them", choices=("auto", "dark", "bright")
    )
    smoothing: float = option(1.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)

    @abstractmethod
    def foreground(self, view: View) -> Found:
        """Return the pixels that may be particles, in a view in which they are bright."""

    def run(self, scene: Scene) -> Segmentation:
        """Return the particles of a scene."""
        polarity = self.polarity
        info: dict[str, Any] = {}
        if polarity == "auto":
            polarity, confidence = choose_polarity(scene.pixels)
            info["polarity_confidence"] = round(confidence, 3)
        view = make_view(scene, polarity, self.smoothing)
        mask, chosen = self.foreground(view)
        if scene.valid is not None:
            mask = mask & scene.valid.view(np.uint8)
        info |= {"polarity": polarity, "noise": view.noise}
        info |= chosen
        return self.finish(mask, scene.valid, info, [], outline=partial(self.outlines, view))

    def outlines(self, view: View, labels: np.ndarray, info: dict[str, Any]) -> np.ndarray:
        """Return the particles with their final outlines: as they are, unless a method knows better."""
        return labels


def make_view(scene: Scene, polarity: str, smoothing: float) -> View:
    """Return a scene turned so that its particles are bright."""
    pixels, valid = scene.pixels, scene.valid
    usable = pixels if valid is None else pixels[valid]
    low, high = float(usable.min()), float(usable.max())
    dark = polarity == "dark"
    # Not `-pixels`: the distance from the darkest (brightest) pixel is the same number in an image and its inverse.
    work = np.subtract(np.float32(high), pixels) if dark else np.subtract(pixels, np.float32(low))
    noise = noise_sigma(work if work.ndim == 2 else work[work.shape[0] // 2])
    return View(
        gaussian(work, smoothing),
        work,
        valid,
        -1.0 if dark else 1.0,
        high if dark else low,
        noise,
        scene.spacing,
        scene.unit != PIXEL,
    )


def number_regions(labels: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return labels with only the regions that ``keep`` (L + 1,) says, numbered 1..L in their old order."""
    keep = keep.copy()
    keep[0] = False
    return np.where(keep, np.cumsum(keep), 0).astype(np.int32)[labels]


def drop_small_labels(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Return labels without the regions of fewer than `min_size` pixels, numbered 1..L in their old order."""
    return number_regions(labels, np.bincount(labels.ravel(), minlength=1) >= min_size)
