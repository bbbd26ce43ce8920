"""Hybrid thresholding: the default way to find particles without training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.segment.levels import otsu_threshold
from segmetry.segment.particles import Found, Particles, View


@dataclass(frozen=True, kw_only=True)
class Hybrid(Particles):
    """Global and local thresholds together."""

    name: ClassVar[str] = "hybrid"
    summary: ClassVar[str] = "global and local thresholds together, gated by noise; the default"

    def foreground(self, view: View) -> Found:
        """Return the pixels of the brighter class."""
        level = otsu_threshold(view.usable)
        return Found((view.pixels > level).view(np.uint8), {"threshold": view.intensity(level)})
