"""Pictures for the eye: greys stretched, sizes changed, files in memory."""

from __future__ import annotations

import io
from collections.abc import Sequence

import cv2
import numpy as np

PERCENTILES = (0.5, 99.5)


def stretch(
    pixels: np.ndarray, *, ignore: np.ndarray | None = None, percentiles: tuple[float, float] = PERCENTILES
) -> np.ndarray:
    """Return pixels as uint8 for the eye, the given percentiles at black and white.

    Parameters
    ----------
    pixels : (M, N) array
        Any real type; not finite becomes black.
    ignore : (M, N) bool array, optional
        Pixels that do not vote on the percentiles, so that a white footer does not darken the specimen.
    percentiles : pair of float, optional
        Shares of the pixels, in per cent, that are cut at the dark and at the bright end.

    Returns
    -------
    stretched : (M, N) array of uint8
        All zero where the image is constant.
    """
    return to_grey(pixels, grey_limits(pixels, ignore, percentiles))


def grey_limits(pixels: np.ndarray, ignore: np.ndarray | None, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Return the values that become black and white; equal where there is nothing to stretch."""
    votes = pixels if ignore is None or ignore.all() else pixels[~ignore]
    votes = votes.ravel()[:: max(1, votes.size // 500_000)]
    votes = votes[np.isfinite(votes)].astype(float)
    if not votes.size:
        return 0.0, 0.0
    low, high = np.percentile(votes, percentiles)
    return (float(low), float(high)) if high > low else (float(votes.min()), float(votes.max()))


def to_grey(pixels: np.ndarray, limits: tuple[float, float]) -> np.ndarray:
    low, high = limits
    if not high > low:
        return np.zeros(pixels.shape, np.uint8)
    if pixels.dtype == np.uint8:
        ramp = np.clip((np.arange(256) - low) * (255 / (high - low)), 0, 255)
        return np.rint(ramp).astype(np.uint8)[pixels]
    # Scaled by halves first: the difference of two huge floats may not be finite.
    scaled = (pixels / 2 - low / 2) * (255 / (high / 2 - low / 2))
    return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0, posinf=255.0, neginf=0.0), 0, 255)).astype(np.uint8)


def shrink(pixels: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return the mean of the pixels under each new one; a large image is made small before it is turned into floats."""
    if pixels.dtype not in (np.uint8, np.uint16, np.float32):
        with np.errstate(over="ignore"):  # beyond float32 is white
            pixels = pixels.astype(np.float32)
    return cv2.resize(pixels, size[::-1], interpolation=cv2.INTER_AREA)


def encode_png(picture: np.ndarray) -> bytes:
    """Return an RGB, RGBA or grey image as PNG."""
    order = {3: cv2.COLOR_RGB2BGR, 4: cv2.COLOR_RGBA2BGRA}
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, order[picture.shape[2]])
    return cv2.imencode(".png", picture, [cv2.IMWRITE_PNG_COMPRESSION, 4])[1].tobytes()


def encode_drawing(drawing: np.ndarray) -> bytes:
    """Return a drawing (H, W, 4) as a PNG with a palette: a fraction of the size of a full RGBA one."""
    from PIL import Image

    # Colours to 5 bits and opacity to 3: few enough to count, and no eye sees it on a line.
    coarse = drawing & np.array([0xF8, 0xF8, 0xF8, 0xE0], np.uint8)
    packed = np.ascontiguousarray(coarse).view(np.uint32)[..., 0]
    values, counts = np.unique(packed.ravel(), return_counts=True)
    order = np.sort(values[np.argsort(counts, kind="stable")[::-1][:255]])
    index = np.searchsorted(order, packed).clip(max=len(order) - 1)
    index = np.where(order[index] == packed, index, 0).astype(np.uint8)  # rare blends become clear
    colours = order.view(np.uint8).reshape(-1, 4)
    image = Image.frombytes("P", index.shape[::-1], index.tobytes())
    image.putpalette(colours[:, :3].tobytes())
    buffer = io.BytesIO()
    opacity = np.minimum(colours[:, 3].astype(int) * 255 // 0xE0, 255).astype(np.uint8)
    image.save(buffer, "PNG", transparency=opacity.tobytes(), compress_level=6)
    return buffer.getvalue()


def encode_jpeg(picture: np.ndarray, quality: int = 85) -> bytes:
    """Return a grey or RGB image as JPEG."""
    if picture.ndim == 3:
        picture = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def resize_nearest(array: np.ndarray, size: tuple[int, ...]) -> np.ndarray:
    """Return `array` sampled at the centres of the new pixels; any dtype, no interpolation between labels."""
    if array.shape == size:
        return array
    rows, cols = (
        np.minimum(((np.arange(n) + 0.5) * old / n).astype(np.intp), old - 1)
        for n, old in zip(size, array.shape, strict=True)
    )
    return array[rows[:, None], cols]


COLOURS = ("#14181d", "#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
"""Of classes in pictures: the first dark, as it is the background as a rule; then Okabe and Ito's."""


def class_colours(n: int) -> Sequence[str]:
    """Return the colours of n classes, as #rrggbb."""
    if n <= len(COLOURS):
        return COLOURS[:n]
    from matplotlib import colormaps
    from matplotlib.colors import to_hex

    return [COLOURS[0], *(to_hex(colour) for colour in colormaps["turbo"](np.linspace(0.05, 1, n - 1)))]


def painted(classes: np.ndarray, colours: Sequence[str]) -> np.ndarray:
    """Return classes (M, N) in their colours as RGB, (M, N, 3) uint8.

    Examples
    --------
    >>> painted(np.array([[0, 1]]), ["#000000", "#ff8000"]).tolist()
    [[[0, 0, 0], [255, 128, 0]]]
    """
    from matplotlib.colors import to_rgb

    return np.rint(255 * np.array([to_rgb(colour) for colour in colours])).astype(np.uint8)[classes]
