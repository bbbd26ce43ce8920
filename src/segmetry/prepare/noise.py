"""How much of an image is noise."""

from __future__ import annotations

import cv2
import numpy as np


def noise_sigma(image: np.ndarray, *, valid: np.ndarray | None = None, window: int = 9) -> float:
    """Return the standard deviation of the noise: the median over the image of the local standard deviation.

    Robust while less than half of the windows hold an edge. Texture that is finer than the window counts as noise.

    Parameters
    ----------
    image : (M, N) array of float32
    valid : (M, N) array of bool, optional
        Windows whose centre is not valid do not count.
    window : int
        Side of the square window in px, odd.

    Returns
    -------
    sigma : float
        In units of the image; 0 for a constant image.

    Examples
    --------
    >>> import numpy as np
    >>> noise = np.random.default_rng(0).normal(100, 4, (256, 256)).astype(np.float32)
    >>> round(noise_sigma(noise), 1)
    4.0
    """
    shifted = image - np.float32(image.mean(dtype=np.float64))  # else float32 loses the variance of a bright image
    size = (min(window, shifted.shape[1]), min(window, shifted.shape[0]))
    mean = cv2.boxFilter(shifted, -1, size, borderType=cv2.BORDER_REFLECT)
    square = cv2.sqrBoxFilter(shifted, cv2.CV_32F, size, borderType=cv2.BORDER_REFLECT)
    # Every third pixel: neighbouring windows overlap and say the same.
    step = 3 if min(image.shape) > 3 * window else 1
    at = (slice(None, None, step), slice(None, None, step))
    n = size[0] * size[1]
    variance = (square[at] - mean[at] ** 2) * (n / max(n - 1, 1))
    if valid is not None:
        variance = variance[valid[at]]
    return float(np.sqrt(max(float(np.median(variance)), 0.0))) if variance.size else 0.0


def smoothed_noise(sigma: float) -> float:
    """Return the factor by which a 2D Gaussian of that standard deviation (px) lowers the deviation of white noise.

    Examples
    --------
    >>> round(smoothed_noise(0), 3), round(smoothed_noise(2), 3)  # 1 / (2 sqrt(pi) sigma) for a wide one
    (1.0, 0.141)
    """
    if sigma <= 0:
        return 1.0
    x = np.arange(-np.ceil(5 * sigma), np.ceil(5 * sigma) + 1)
    kernel = np.exp(-0.5 * (x / sigma) ** 2)
    return float(((kernel / kernel.sum()) ** 2).sum())
