"""Pictures of something else than particles in a microscope: letters, gratings, noise, textures, a cat."""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
from skimage import data


def text_page() -> np.ndarray:
    page = np.full((420, 520), 255, np.uint8)
    for k in range(13):
        cv2.putText(page, "The quick brown fox jumps over it", (20, 40 + 30 * k), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 0, 1)
    return page


def grating(period: float) -> np.ndarray:
    column = np.arange(400)
    rows = np.sin(2 * np.pi * column / period) + np.zeros((400, 1))
    return rows + np.random.default_rng(0).normal(0, 0.1, rows.shape)


def texture(sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(np.random.default_rng(0).normal(0, 1, (400, 400)), (0, 0), sigma)


ELSE: dict[str, Callable[[], np.ndarray]] = {
    "text": text_page,
    "fine grating": lambda: grating(8),
    "grating": lambda: grating(24),
    "coarse grating": lambda: grating(64),
    "noise": lambda: np.random.default_rng(0).normal(0, 1, (400, 400)),
    "grain": lambda: texture(1.5),
    "clouds": lambda: texture(12),
    "cat": lambda: cv2.cvtColor(data.chelsea(), cv2.COLOR_RGB2GRAY),
    "photographer": data.camera,
    "bricks": lambda: data.brick()[:400, :400],
    "grass": lambda: data.grass()[:400, :400],
}
