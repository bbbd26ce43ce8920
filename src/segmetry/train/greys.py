"""Changes of grey that images of one kind of specimen differ by: gamma, shading, letters, contrast, blur, noise.

Each takes an image in standard deviations (M, N) float32 and the generator that decides, and returns a new one or the
image itself.
"""

from __future__ import annotations

import math

import cv2
import numpy as np


def bend(image: np.ndarray, rng: np.random.Generator, spread: float = 0.3) -> np.ndarray:
    """Return the image under a random gamma on its own range; `spread` is the deviation of its logarithm."""
    low, high = float(image.min()), float(image.max())
    span = max(high - low, 1e-3)
    return cv2.pow(np.maximum((image - low) / span, 1e-4), math.exp(rng.normal(0, spread))) * span + low


def shade(image: np.ndarray, rng: np.random.Generator, spread: float = 0.8) -> np.ndarray:
    """Return the image with a random slope added; `spread` is the deviation of its rise along each axis."""
    slope = rng.normal(0, spread, 2)
    rows, columns = (np.linspace(-0.5, 0.5, n, dtype=np.float32) for n in image.shape)
    return image + np.float32(slope[0]) * rows[:, None] + np.float32(slope[1]) * columns


def burn_letters(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image with a random line of letters in it, far brighter or darker than the rest."""
    height, width = image.shape
    grey = float(rng.choice([-1, 1]) * rng.uniform(1.5, 4))
    text = "".join(rng.choice(list("abcdefABCDEF0123456789 nmuk.()"), int(rng.integers(1, 9))))
    where = (int(rng.integers(-20, width - 20)), int(rng.integers(12, height)))
    ink = np.zeros((height, width), np.uint8)
    font, size, thick = int(rng.integers(0, 5)), rng.uniform(0.5, 1.8), int(rng.integers(1, 4))
    cv2.putText(ink, text, where, font, size, 255, thick, cv2.LINE_AA)
    share = ink.astype(np.float32) * np.float32(1 / 255)
    return image * (1 - share) + np.float32(grey) * share


def contrast(image: np.ndarray, rng: np.random.Generator, spread: float = 0.25) -> np.ndarray:
    """Return the image with a random factor and offset; `spread` is the deviation of offset and log factor."""
    return image * np.float32(math.exp(rng.normal(0, spread))) + np.float32(rng.normal(0, spread))


def soften(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image blurred by a Gaussian of 0.4 to 1.6 px."""
    return cv2.GaussianBlur(image, (0, 0), rng.uniform(0.4, 1.6))


def roughen(image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Return the image with noise of 0.03 to 0.6 standard deviations, now and then in grains of some px."""
    noise = np.empty_like(image)
    cv2.setRNGSeed(int(rng.integers(2**31 - 1)))
    cv2.randn(noise, 0, float(math.exp(rng.uniform(math.log(0.03), math.log(0.6)))))
    if rng.random() < 0.3:
        noise = 2 * cv2.GaussianBlur(noise, (0, 0), 0.8)
    return image + noise
