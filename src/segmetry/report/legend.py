"""The strip below a picture that says in words what its colours and lines mean."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL.ImageDraw import ImageDraw
    from PIL.ImageFont import FreeTypeFont

Swatch = Callable[["ImageDraw", float, float, float, int], None]
"""Draws one sample: pen, left end, middle height, width, size of the letters."""


@functools.lru_cache(maxsize=8)
def font(size: int) -> FreeTypeFont:
    """Return the font that is written into pictures, in pixels."""
    from matplotlib import get_data_path  # it brings a font that has every sign we need
    from PIL import ImageFont

    return ImageFont.truetype(f"{get_data_path()}/fonts/ttf/DejaVuSans.ttf", size)


def with_strip(picture: np.ndarray, entries: Sequence[tuple[Swatch, str]]) -> np.ndarray:
    """Return an RGB picture with a white strip below it: a sample and words for each entry, in as many rows as needed.

    Parameters
    ----------
    picture : (H, W, 3) array of uint8
    entries : sequence of (swatch, words)

    Returns
    -------
    picture : (H + strip, W, 3) array of uint8
        The picture itself where there are no entries.
    """
    from PIL import Image, ImageDraw

    if not entries:
        return picture
    width = picture.shape[1]
    size = int(np.clip(width // 60, 10, 18))
    gap, sample = size, 2 * size
    rows: list[list[tuple[Swatch, str, float]]] = [[]]
    x = float(gap)
    for swatch, words in entries:
        length = sample + gap / 2 + font(size).getlength(words) + 2 * gap
        if rows[-1] and x + length > width:
            rows.append([])
            x = float(gap)
        rows[-1].append((swatch, words, x))
        x += length
    strip = Image.new("RGB", (width, len(rows) * 2 * size), "white")
    pen = ImageDraw.Draw(strip)
    for index, row in enumerate(rows):
        y = (2 * index + 1) * size
        for swatch, words, start in row:
            swatch(pen, start, y, sample, size)
            pen.text((start + sample + gap / 2, y), words, font=font(size), fill="black", anchor="lm")
    return np.vstack([picture, np.array(strip)])
