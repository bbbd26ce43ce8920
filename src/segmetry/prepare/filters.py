"""Smoothing and box statistics of 2D images."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np


def gaussian(image: np.ndarray, sigma: float) -> np.ndarray:
    """Return a 2D float32 image or a 3D volume smoothed by a Gaussian; sigma 0 returns a copy.

    Parameters
    ----------
    image : (M, N) or (P, M, N) array of float32
    sigma : float
        Standard deviation in px, the same along each axis.
    """
    if sigma <= 0:
        return image.copy()
    if image.ndim == 2:
        return cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REFLECT)
    from scipy.ndimage import gaussian_filter1d

    planes = np.stack([cv2.GaussianBlur(p, (0, 0), sigma, borderType=cv2.BORDER_REFLECT) for p in image])
    return gaussian_filter1d(planes, sigma, axis=0, mode="reflect")


def box_mean(image: np.ndarray, window: int) -> np.ndarray:
    """Return the mean over a square window round each pixel of a 2D float32 image; mirrored at the border.

    Parameters
    ----------
    image : (M, N) array of float32
    window : int
        Side in px, odd; clipped to the image.
    """
    side_x, side_y = min(window, 2 * (image.shape[1] // 2) + 1), min(window, 2 * (image.shape[0] // 2) + 1)
    return cv2.boxFilter(image, -1, (side_x, side_y), borderType=cv2.BORDER_REFLECT)


class BoxStatistics(NamedTuple):
    """Mean and standard deviation over a window round each pixel."""

    mean: np.ndarray
    std: np.ndarray


def box_mean_std(image: np.ndarray, window: int) -> BoxStatistics:
    """Return mean and standard deviation over a square window round each pixel of a 2D float32 image.

    Parameters
    ----------
    image : (M, N) array of float32
    window : int
        Side in px, odd; clipped to the image.
    """
    side_x, side_y = min(window, 2 * (image.shape[1] // 2) + 1), min(window, 2 * (image.shape[0] // 2) + 1)
    centre = np.float32(image.mean(dtype=np.float64))  # float32 squares of a large offset lose the variance
    shifted = image - centre
    mean = cv2.boxFilter(shifted, -1, (side_x, side_y), borderType=cv2.BORDER_REFLECT)
    square = cv2.sqrBoxFilter(shifted, cv2.CV_32F, (side_x, side_y), borderType=cv2.BORDER_REFLECT)
    std = np.sqrt(np.maximum(square - mean * mean, 0))
    return BoxStatistics(mean + centre, std)
