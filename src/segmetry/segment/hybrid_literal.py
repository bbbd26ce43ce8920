"""Variance-hybridised mean local thresholding, as its name says: a baseline, not the default."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.options import option
from segmetry.prepare.filters import box_mean_std
from segmetry.segment.foreground import ByForeground, Found, View
from segmetry.segment.levels import otsu_threshold, robust_range


@dataclass(frozen=True, kw_only=True)
class HybridLiteral(ByForeground):
    """The local mean decides where the local variance is high, Otsu's global threshold where it is low.

    References
    ----------
    The name is that of Groom et al., Ultramicroscopy 194, 25 (2018), doi:10.1016/j.ultramic.2018.06.002; their window,
    gate and offset are not published in what we could read, so this is our reading of the name, and its results depend
    strongly on all three. Never quote it without them.
    """

    name: ClassVar[str] = "hybrid-literal"
    summary: ClassVar[str] = "local mean where the local variance is high, Otsu where it is low; a baseline"

    window: int = option(65, "side of the box for mean and variance", unit="px", low=3)
    gate: float = option(1.5, "local standard deviation above which the local mean decides, in noise units", low=0)
    offset: float = option(0.05, "smallest difference to the mean, as a share of the image's contrast", low=0, high=1)

    def foreground(self, view: View) -> Found:
        """Return the pixels that the local or the global rule takes."""
        mean, std = box_mean_std(view.pixels, self.window | 1)
        offset = self.offset * robust_range(view.usable)
        level = otsu_threshold(view.usable)
        local = view.pixels > mean + np.float32(offset)
        mask = np.where(std > self.gate * view.noise, local, view.pixels > level)
        return Found(mask.view(np.uint8), {"threshold": view.intensity(level), "offset": offset})
