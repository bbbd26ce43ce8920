"""Otsu's threshold, for two classes or more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.segment.foreground import ByForeground, Found, View
from segmetry.segment.levels import multi_otsu_thresholds, otsu_threshold
from segmetry.segment.methods import Scene
from segmetry.segment.threshold import classes
from segmetry.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class Otsu(ByForeground):
    """One global threshold: the one of largest variance between its two classes."""

    name: ClassVar[str] = "otsu"
    summary: ClassVar[str] = "one global threshold of largest variance between two classes (Otsu 1979)"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    def foreground(self, view: View) -> Found:
        """Return the pixels of the brighter class."""
        level = otsu_threshold(view.usable)
        return Found((view.pixels > level).view(np.uint8), {"threshold": view.intensity(level)})


@dataclass(frozen=True, kw_only=True)
class MultiOtsu(ByForeground):
    """Several global thresholds; gives classes, or the outermost class as particles."""

    name: ClassVar[str] = "multi-otsu"
    summary: ClassVar[str] = "several global thresholds of largest variance between classes"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    classes: int = option(3, "number of classes", low=2, high=16)
    output: str = option(
        "classes",
        "classes, or the class farthest out on the particles' side as particles",
        choices=("classes", "particles"),
    )

    def run(self, scene: Scene) -> Segmentation:
        """Return classes 0 (darkest) to K - 1, or particles."""
        if self.output == "particles":
            return super().run(scene)
        smooth = gaussian(scene.pixels, self.smoothing)
        values = multi_otsu_thresholds(smooth if scene.valid is None else smooth[scene.valid], self.classes)
        return classes(scene, values, self.smoothing)

    def foreground(self, view: View) -> Found:
        """Return the pixels of the brightest class."""
        levels = multi_otsu_thresholds(view.usable, self.classes)
        top = levels[-1] if levels else float("inf")
        return Found((view.pixels > top).view(np.uint8), {"thresholds": [view.intensity(v) for v in levels]})
