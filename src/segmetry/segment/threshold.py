"""Thresholds given by the user."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.errors import OptionError
from segmetry.options import option
from segmetry.segment.foreground import ByForeground, Found, View
from segmetry.segment.methods import Scene
from segmetry.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class Threshold(ByForeground):
    """One value finds particles; several values cut the image into classes, 0 the darkest."""

    name: ClassVar[str] = "threshold"
    summary: ClassVar[str] = "one fixed value for particles, or several for classes"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    value: tuple[float, ...] = option((), "threshold, or several for classes", unit="intensity")
    smoothing: float = option(0.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.value:
            raise OptionError("threshold: value is missing; give one, such as value=120, or use otsu.")
        if list(self.value) != sorted(set(self.value)):
            raise OptionError(f"threshold: several values must rise, got {self.value}.")

    def run(self, scene: Scene) -> Segmentation:
        """Return particles for one value, classes for several."""
        return super().run(scene) if len(self.value) == 1 else classes(scene, self.value, self.smoothing)

    def foreground(self, view: View) -> Found:
        """Return the pixels beyond the value, on the particles' side."""
        level = view.sign * (self.value[0] - view.origin)
        return Found((view.pixels > level).view(np.uint8), {"threshold": self.value[0]})


def classes(scene: Scene, values: tuple[float, ...], smoothing: float) -> Segmentation:
    """Return the semantic segmentation by rising thresholds; class k lies above k of them."""
    from segmetry.prepare.filters import gaussian

    pixels = gaussian(scene.pixels, smoothing)
    labels = np.searchsorted(np.asarray(values, np.float32), pixels, side="left").astype(np.int32)
    if scene.valid is not None:
        labels[~scene.valid] = 0
    names = tuple(f"class {k}" for k in range(len(values) + 1))
    return Segmentation(labels, "semantic", classes=names, info={"thresholds": [float(v) for v in values]})
