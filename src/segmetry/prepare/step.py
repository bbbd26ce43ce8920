"""What a step of preparation is: a record of options that makes an image of an image, before it is segmented."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segmetry.errors import ImageError
from segmetry.options import Options
from segmetry.types import Image


@dataclass(frozen=True, kw_only=True)
class Step(Options):
    """Something that is done to an image: its options are its fields.

    A subclass sets `name`, `summary`, and where it needs them `axes` and `references`, declares its options with
    `option`, and gives `run`.
    """

    summary: ClassVar[str] = ""
    axes: ClassVar[tuple[str, ...]] = ()
    """Axes of the images that it takes, such as ``"TYX"``; empty for any."""
    references: ClassVar[tuple[str, ...]] = ()
    """Options that name files or folders, whose frames (M, N) or (T, M, N) `run` is given by the option's name."""

    def as_dict(self) -> dict[str, Any]:
        """Return the record as plain data for JSON: ``{"step": "smooth", "sigma": 1.0}``."""
        return {"step": self.name} | self.values()

    def run(self, image: Image, given: Mapping[str, np.ndarray]) -> Image:
        """Return the image after this step, which is not changed itself."""
        raise NotImplementedError

    def check_axes(self, image: Image) -> None:
        """Raise an `ImageError` where the step cannot take the axes of an image."""
        if self.axes and image.axes not in self.axes:
            raise ImageError(
                f"{image.name}: step {self.name} takes images with the axes {' or '.join(self.axes)}, but these are "
                f"{image.axes}; name the axes, or leave the step out."
            )


def each_frame(image: Image, change: Any) -> Image:
    """Return an image whose frames (M, N), of whatever axes lie before them, were each changed by a function."""
    pixels = image.pixels
    if pixels.ndim == 2:
        return image.replace(pixels=change(pixels))
    return image.replace(pixels=np.stack([change(frame) for frame in pixels]))
