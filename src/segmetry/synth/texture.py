"""Smooth random fields and planes over a frame: what film, light and surfaces are textured with."""

from __future__ import annotations

import math

import cv2
import numpy as np


def band_noise(shape: tuple[int, int], scale: float, rng: np.random.Generator) -> np.ndarray:
    """Return Gaussian noise of unit variance and zero mean whose grains are about `scale` px wide, as float32."""
    step = max(1, int(scale / 3))  # coarse grains need no fine grid
    small = (max(8, math.ceil(shape[0] / step) + 8), max(8, math.ceil(shape[1] / step) + 8))
    noise = rng.standard_normal(small, dtype=np.float32)
    sigma = scale / step / 2.0
    noise = cv2.GaussianBlur(noise, (0, 0), sigma) - cv2.GaussianBlur(noise, (0, 0), 1.8 * sigma)
    if step > 1:
        noise = cv2.resize(noise, (small[1] * step, small[0] * step), interpolation=cv2.INTER_CUBIC)
    noise = np.ascontiguousarray(noise[: shape[0], : shape[1]])
    return (noise - noise.mean()) / max(float(noise.std()), 1e-9)


def ramp(shape: tuple[int, int], angle: float) -> np.ndarray:
    """Return a plane that runs from -0.5 to 0.5 over the frame along a direction."""
    row, col = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in shape)
    plane = np.float32(math.cos(angle)) * row[:, None] + np.float32(math.sin(angle)) * col[None, :]
    return plane / (abs(math.cos(angle)) + abs(math.sin(angle)))
