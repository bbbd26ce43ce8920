"""NDNT: N-dimensional neighbourhood thresholding against a share of the local mean."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from segmetry.options import option
from segmetry.prepare.filters import gaussian
from segmetry.prepare.running import outside_band
from segmetry.segment.foreground import Objects
from segmetry.segment.methods import Scene
from segmetry.segment.windows import window_sides
from segmetry.types import Segmentation


@dataclass(frozen=True, kw_only=True)
class Ndnt(Objects):
    """A pixel is foreground where it lies below (above) a share of the mean of the box centred on it.

    The window is exact and centred, and at the border the mean is over the pixels that are there. Intensities must
    not be negative: a share of a mean has no meaning else.

    References
    ----------
    Bradley, Roth, J. Graph. Tools 12, 13 (2007), doi:10.1080/2151237X.2007.10129236, in 2D; Shahbazi et al.,
    Sci. Rep. 8, 14247 (2018), doi:10.1038/s41598-018-32628-3, in N dimensions. Their window is one pixel off centre,
    and only the dark side is foreground.
    """

    name: ClassVar[str] = "ndnt"
    summary: ClassVar[str] = "threshold against a share of the local mean, dark, bright or both sides, 2D and 3D"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    share: float = option(0.15, "how far below or above the local mean, as a share of it", low=0, high=1)
    side: str = option("dark", "which side of the local mean is foreground", choices=("dark", "bright", "both"))
    window: float | None = option(
        None,
        "side of the box; an eighth of the image along each axis where it is not given",
        unit="px",
        low=1,
        kind="float",
    )
    window_unit: str = option("px", "whether the window counts pixels or is a length", choices=("px", "calibrated"))
    smoothing: float = option(0.0, "standard deviation of the Gaussian before anything else", unit="px", low=0, high=50)
    split: bool = option(False, "cut touching particles where the contour is concave at both ends of the cut (2D)")
    fill_holes: bool = option(False, "count holes that are closed all round to their particle")

    def run(self, scene: Scene) -> Segmentation:
        """Return the connected objects of a scene."""
        notes = []
        if scene.pixels.min() < 0:
            notes.append("ndnt: intensities below 0; a share of a local mean means little, shift them first")
        pixels = gaussian(scene.pixels, self.smoothing) if self.smoothing else scene.pixels
        sides = window_sides(
            self.window, self.window_unit, shape=pixels.shape, spacing=scene.spacing, calibrated=scene.unit != "px"
        )
        mask = ndnt_mask(pixels, window=sides, share=self.share, side=self.side, valid=scene.valid)
        return self.finish(mask.view(np.uint8), scene.valid, {"polarity": self.side, "window_px": list(sides)}, notes)


def ndnt_mask(
    image: np.ndarray,
    *,
    window: tuple[int, ...],
    share: float = 0.15,
    side: str = "dark",
    valid: np.ndarray | None = None,
) -> np.ndarray:
    """Return where an image lies below, above, or outside a band round its local mean.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array
        uint8, uint16 and float32 as they are, other types as float32.
    window : tuple of int
        Odd side of the box along each axis, in px.
    share : float
        Dark is at most ``(1 - share)`` times the mean, bright at least ``(1 + share)`` times.
    side : {"dark", "bright", "both"}
    valid : bool array, optional
        Pixels that count.

    Returns
    -------
    mask : bool array of that shape

    Examples
    --------
    >>> import numpy as np
    >>> ndnt_mask(np.array([[9, 9, 3, 9, 9]], np.uint8), window=(1, 3), share=0.2)
    array([[False, False,  True, False, False]])
    """
    low = 1 - share if side in ("dark", "both") else -np.inf
    high = 1 + share if side in ("bright", "both") else np.inf
    return outside_band(image, window, low=low, high=high, valid=valid)
