"""Local threshold: brighter than the mean of the neighbourhood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.options import option
from segmetry.prepare.filters import box_mean
from segmetry.prepare.running import box_count, box_sum
from segmetry.segment.foreground import ByForeground, Found, View
from segmetry.segment.levels import robust_range
from segmetry.segment.windows import window_sides


@dataclass(frozen=True, kw_only=True)
class Local(ByForeground):
    """Particles differ from the mean of a box round each pixel by an offset and by more than noise."""

    name: ClassVar[str] = "local"
    summary: ClassVar[str] = "threshold against the mean of a box round each pixel"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    window: float = option(65.0, "side of the box; larger than the particles", unit="px", low=1)
    window_unit: str = option("px", "whether the window counts pixels or is a length", choices=("px", "calibrated"))
    offset: float = option(0.05, "smallest difference to the mean, as a share of the image's contrast", low=0, high=1)
    noise_factor: float = option(1.5, "smallest difference to the mean, in standard deviations of the noise", low=0)

    def foreground(self, view: View) -> Found:
        """Return the pixels above the local mean."""
        sides = window_sides(
            self.window, self.window_unit, shape=view.pixels.shape, spacing=view.spacing, calibrated=view.calibrated
        )
        mean = local_mean(view, sides)
        offset = max(self.offset * robust_range(view.usable), self.noise_factor * view.noise)
        mask = view.pixels > mean + np.float32(offset)
        return Found(mask.view(np.uint8), {"window_px": list(sides), "offset": offset})


def local_mean(view: View, sides: tuple[int, ...]) -> np.ndarray:
    """Return the mean over a box round each pixel."""
    if view.pixels.ndim == 2 and sides[0] == sides[1]:
        return box_mean(view.pixels, sides[0])
    if view.valid is None:
        count = box_count(view.pixels.shape, sides)
        return (box_sum(view.pixels, sides) / count).astype(np.float32)
    total = box_sum(np.where(view.valid, view.pixels, np.float32(0)), sides)
    return (total / np.maximum(box_sum(view.valid, sides), 1)).astype(np.float32)
