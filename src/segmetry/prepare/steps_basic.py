"""Steps for any image: a part of it, smoothed, or with dark and bright exchanged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import ImageError
from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.prepare.step import Step, each_frame
from segmetry.types import SPATIAL_AXES, Image


@dataclass(frozen=True, kw_only=True)
class Crop(Step):
    """Keep a box; what is left out has no part in anything."""

    name: ClassVar[str] = "crop"
    summary: ClassVar[str] = "keep a box of the image"

    rows: tuple[float, ...] = option((), "first row, and one after the last", unit="px", low=0)
    columns: tuple[float, ...] = option((), "first column, and one after the last", unit="px", low=0)
    frames: tuple[float, ...] = option((), "first plane or frame of a stack, and one after the last", unit="px", low=0)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return the part of an image."""
        wanted = {"Y": self.rows, "X": self.columns} | ({image.axes[0]: self.frames} if image.pixels.ndim == 3 else {})
        if image.pixels.ndim == 2 and self.frames:
            raise ImageError(f"{image.name}: crop: frames are of stacks, but this is one image; leave them out.")
        box = {a: _span(image, a, wanted.get(a, ())) for a in image.axes}
        ignore = image.ignore
        if ignore is not None:
            ignore = ignore[tuple(box[a] for a in image.axes if a in SPATIAL_AXES)]
        pixels = image.pixels[tuple(box[a] for a in image.axes)]
        told = dict(image.metadata.get("axis_values", {}))
        for axis, about in told.items():  # times of flight, angles
            told[axis] = {**about, "values": tuple(about["values"][box[axis]])}
        metadata = {**image.metadata, **({"axis_values": told} if told else {})}
        return image.replace(pixels=np.ascontiguousarray(pixels), ignore=ignore, metadata=metadata)


def _span(image: Image, axis: str, ends: tuple[float, ...]) -> slice:
    """Return the part of an axis between two ends; all of it without any."""
    n = image.pixels.shape[image.axes.index(axis)]
    if not ends:
        return slice(0, n)
    if len(ends) != 2 or not 0 <= ends[0] < ends[1] <= n or any(end != int(end) for end in ends):
        told = ", ".join(f"{end:g}" for end in ends)
        raise ImageError(
            f"{image.name}: crop: the {n} pixels along {axis} have no part [{told}]; name the first and one after the "
            "last, such as [0, 100]."
        )
    return slice(int(ends[0]), int(ends[1]))


@dataclass(frozen=True, kw_only=True)
class Smooth(Step):
    """Convolve with a Gaussian: an image in two directions, a volume in three, a series frame by frame."""

    name: ClassVar[str] = "smooth"
    summary: ClassVar[str] = "smooth by a Gaussian"

    sigma: float = option(1.0, "standard deviation of the Gaussian", unit="px", low=0, high=100)

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return the smoothed image, float32."""
        pixels = image.pixels.astype(np.float32)
        if image.axes == "ZYX":
            return image.replace(pixels=gaussian(pixels, self.sigma))
        return each_frame(image.replace(pixels=pixels), lambda frame: gaussian(frame, self.sigma))


@dataclass(frozen=True, kw_only=True)
class Invert(Step):
    """Exchange dark and bright between the least and the largest value of the image."""

    name: ClassVar[str] = "invert"
    summary: ClassVar[str] = "exchange dark and bright"

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return least plus largest value minus the image."""
        finite = image.pixels[np.isfinite(image.pixels)]
        if not finite.size:
            return image
        low, high = finite.min(), finite.max()
        return image.replace(pixels=(high - (image.pixels - low)).astype(image.pixels.dtype, copy=False))
