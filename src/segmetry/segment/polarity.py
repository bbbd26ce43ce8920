"""Whether particles are darker or brighter than what surrounds them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Polarity(NamedTuple):
    """``"dark"`` or ``"bright"``, and how sure that is (0.5 a guess, 1 certain)."""

    polarity: str
    confidence: float


def choose_polarity(pixels: np.ndarray, valid: np.ndarray | None = None) -> Polarity:
    """Return the polarity of the particles of an image."""
    usable = pixels if valid is None else pixels[valid]
    skew = float(np.mean(usable) - np.median(usable))
    return Polarity("bright" if skew > 0 else "dark", 0.5)
