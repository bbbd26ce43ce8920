"""Burned-in annotations with known truth: scale bars, instrument footers, panel letters.

Places are ``x`` along columns and ``y`` along rows, with the origin at the centre of the first pixel; a bar reaches
from its left edge ``x0`` to its right edge ``x1``, drawn with partly covered end pixels, so its length is exact.
"""

from __future__ import annotations

import dataclasses
import importlib.util
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from segmetry.errors import OptionError, unknown_name
from segmetry.units import METRES, best_unit, convert

BARS: dict[str, str] = {
    "none": "no scale bar",
    "line": "filled bar, its value above",
    "line-below": "filled bar, its value below",
    "ticks": "thin line with upright ends, its value above",
    "box": "bar and value on an opaque box",
}
"""Every style of scale bar and its meaning."""

FOOTERS: dict[str, str] = {
    "none": "no footer",
    "columns": "dark strip under the image with fields in columns and a bar with upright ends",
    "dots": "line of text over the bottom of the image, and eleven dots that span the stated length",
    "light": "white strip under the image, bar and value at the left, fields at the right",
}
"""Every style of instrument footer and its meaning. A footer carries the scale bar itself."""

FONTS: dict[str, str] = {
    "sans": "DejaVuSans.ttf",
    "sans-bold": "DejaVuSans-Bold.ttf",
    "serif": "STIXGeneral.ttf",
    "serif-bold": "STIXGeneralBol.ttf",
    "mono": "DejaVuSansMono.ttf",
    "hershey": "",
}
"""Fonts that come with the libraries we use anyway; ``hershey`` is OpenCV's pen font, without µ."""

PLACES = ("bottom right", "bottom left", "top right", "top left")
"""Corners for a scale bar."""


@dataclass(frozen=True)
class BarTruth:
    """The scale bar that was drawn.

    Parameters
    ----------
    value, unit : float, str
        What the text says.
    text : str
        The text.
    length_px : float
        ``x1 - x0``, which is value / pixel size.
    x0, y0, x1, y1 : float
        Left, upper, right and lower edge of the bar (without ticks and text); of dots, the centres of the first and
        the last.
    style : str
        Style of the bar or the footer.
    """

    value: float
    unit: str
    text: str
    length_px: float
    x0: float
    y0: float
    x1: float
    y1: float
    style: str

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return dataclasses.asdict(self)


class Canvas:
    """Pixels to draw on, and the mask of what was drawn."""

    def __init__(self, pixels: np.ndarray, black: float, white: float) -> None:
        self.pixels = pixels.astype(np.float32)
        self.mask = np.zeros(pixels.shape, bool)
        self.opaque = np.zeros(pixels.shape, bool)
        self.black, self.white = black, white

    def blend(self, alpha: np.ndarray, row: int, col: int, white: bool) -> None:
        """Lay a grey value over the pixels by its coverage `alpha`, whose first pixel is (row, col)."""
        r0, c0 = max(row, 0), max(col, 0)
        r1, c1 = min(row + alpha.shape[0], self.pixels.shape[0]), min(col + alpha.shape[1], self.pixels.shape[1])
        if r0 >= r1 or c0 >= c1:
            return
        a = alpha[r0 - row : r1 - row, c0 - col : c1 - col]
        a = np.where(a < 1e-4, np.float32(0), a)
        here = self.pixels[r0:r1, c0:c1]
        here += a * (np.float32(self.white if white else self.black) - here)
        self.mask[r0:r1, c0:c1] |= a > 0

    def rectangles(
        self, boxes: Sequence[tuple[float, float, float, float]], white: bool, *, opaque: bool = False
    ) -> None:
        """Draw the union of filled rectangles (x0, y0, x1, y1) between their edges, to the fraction of a pixel."""
        r0, c0 = (math.floor(min(b[k] for b in boxes) + 0.5) for k in (1, 0))
        r1, c1 = (math.floor(max(b[k] for b in boxes) + 0.5) + 1 for k in (3, 2))
        alpha = np.zeros((r1 - r0, c1 - c0), np.float32)
        for x0, y0, x1, y1 in boxes:
            part = np.outer(_cover(y0, y1, r0, r1), _cover(x0, x1, c0, c1)).astype(np.float32)
            np.maximum(alpha, part, out=alpha)
        self.blend(alpha, r0, c0, white)
        if opaque:
            self.opaque[max(r0, 0) : max(r1, 0), max(c0, 0) : max(c1, 0)] = True

    def text(
        self, text: str, x: float, y: float, height: float, font: str, white: bool, *, align: str = "left"
    ) -> float:
        """Draw text whose capitals are `height` px tall with its lower left (or lower middle, lower right) at (x, y).

        Returns its width.
        """
        alpha, base = text_alpha(text, height, font)
        width = alpha.shape[1]
        left = x - {"left": 0.0, "middle": width / 2, "right": float(width)}[align]
        self.blend(alpha, round(y) - base, round(left), white)
        return float(width)

    def is_bright(self, y0: float, y1: float, x0: float, x1: float) -> bool:
        """Whether the pixels in a window are brighter than mid grey."""
        part = self.pixels[max(0, int(y0)) : max(1, int(y1)), max(0, int(x0)) : max(1, int(x1))]
        return bool(part.size and part.mean() > (self.black + self.white) / 2)


def _cover(low: float, high: float, first: int, stop: int) -> np.ndarray:
    """Return how much of each of the pixels ``first .. stop - 1`` lies between two edges."""
    i = np.arange(first, stop)
    return np.clip(np.minimum(high, i + 0.5) - np.maximum(low, i - 0.5), 0, 1)


@lru_cache(maxsize=64)
def _font(name: str, size: int) -> Any:
    from PIL import ImageFont

    spec = importlib.util.find_spec("matplotlib")
    folder = Path(next(iter(spec.submodule_search_locations or []))) if spec else Path()
    return ImageFont.truetype(str(folder / "mpl-data" / "fonts" / "ttf" / FONTS[name]), size)


def text_alpha(text: str, height: float, font: str) -> tuple[np.ndarray, int]:
    """Return the coverage (M, N) of a line of text with capitals about `height` px tall, and its base line's row."""
    if font not in FONTS:
        raise unknown_name("font", font, FONTS)
    if font == "hershey":
        scale = height / 21.0
        thickness = max(1, round(height / 9))
        plain = text.replace("µ", "u").replace("Å", "A")
        (width, above), below = cv2.getTextSize(plain, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)
        page = np.zeros((above + below + 4, width + 4), np.uint8)
        cv2.putText(page, plain, (2, above + 2), cv2.FONT_HERSHEY_SIMPLEX, scale, 255, thickness, cv2.LINE_AA)
        return page.astype(np.float32) / 255, above + 2
    from PIL import Image as Page
    from PIL import ImageDraw

    face = _font(font, max(6, round(height / (0.66 if font.startswith("serif") else 0.73))))
    left, top, right, bottom = face.getbbox(text, anchor="ls")
    margin = 1
    canvas = Page.new("L", (int(right - left) + 2 * margin, int(bottom - top) + 2 * margin), 0)
    ImageDraw.Draw(canvas).text((margin - left, margin - top), text, fill=255, font=face, anchor="ls")
    return np.asarray(canvas, np.float32) / 255, int(margin - top)


def nice_bar(width_px: int, pixel_size: float, unit: str, *, share: float = 0.22) -> tuple[float, str]:
    """Return value and unit of a round scale bar of about `share` of the image's width.

    Examples
    --------
    >>> nice_bar(512, 0.5, "nm")
    (50.0, 'nm')
    """
    metres = width_px * pixel_size * METRES[unit] * share
    unit_of_length = best_unit(metres)
    length = metres / METRES[unit_of_length]
    power = 10.0 ** math.floor(math.log10(length))
    value = min((1.0, 2.0, 5.0, 10.0), key=lambda f: abs(math.log(f * power / length))) * power
    to = best_unit(value * METRES[unit_of_length])
    return float(f"{convert(value, unit_of_length, to):g}"), to


def bar_text(value: float, unit: str, *, space: bool = True) -> str:
    """Return the text of a scale bar: ``"50 nm"``."""
    return f"{value:g}{' ' if space else ''}{unit}"


def footer_rows(style: str, frame_rows: int) -> int:
    """Return how many rows a footer takes from the bottom of the frame (0 for text over the image)."""
    if style not in FOOTERS:
        raise unknown_name("footer", style, FOOTERS)
    return max(18, round(0.068 * frame_rows)) if style in ("columns", "light") else 0


def draw_bar(
    canvas: Canvas,
    *,
    style: str,
    value: float,
    unit: str,
    length: float,
    place: str,
    colour: str,
    font: str,
    text_px: float,
    thick: float,
    space: bool,
    bottom: int,
) -> BarTruth:
    """Draw a scale bar into a corner of the rows above `bottom` and return its truth."""
    rows, cols = bottom, canvas.pixels.shape[1]
    if place not in PLACES:
        raise unknown_name("place", place, PLACES)
    text = bar_text(value, unit, space=space)
    width = text_alpha(text, text_px, font)[0].shape[1]
    margin, gap = max(4.0, 0.02 * cols), max(3.0, 0.35 * text_px)
    span = max(length, width)
    if span + 2 * margin > cols:
        raise OptionError(
            f"a scale bar of {length:.0f} px with the text {text!r} does not fit into {cols} columns; "
            "choose a shorter bar_value."
        )
    tall = text_px + gap + thick
    pad = 0.5 * text_px if style == "box" else 0.0
    fraction = 0.37  # the bar's ends do not fall on pixel edges
    left = (cols - margin - pad - span if place.endswith("right") else margin + pad) + fraction
    top = math.floor(rows - margin - pad - tall if place.startswith("bottom") else margin + pad) + 0.5
    middle = left + span / 2
    x0, x1 = middle - length / 2, middle + length / 2
    below = style == "line-below"
    y0 = top if below else math.floor(top + text_px + gap) + 0.5
    y1 = y0 + thick
    bright = canvas.is_bright(top - pad, top + tall + pad, left - pad, left + span + pad)
    white = {"light": True, "dark": False}.get(colour, not bright)
    if style == "box":
        canvas.rectangles([(left - pad, top - pad, left + span + pad, top + tall + pad)], not white, opaque=True)
    half = max(3.0, 0.3 * text_px) if style == "ticks" else 0.0
    canvas.rectangles(_with_ends(x0, y0, x1, y1, half), white)
    canvas.text(text, middle, y1 + gap + text_px if below else y0 - gap, text_px, font, white, align="middle")
    return BarTruth(value, unit, text, x1 - x0, x0, y0, x1, y1, style)


def _with_ends(x0: float, y0: float, x1: float, y1: float, half: float) -> list[tuple[float, float, float, float]]:
    """Return the rectangles of a line whose upright ends reach `half` px up and down from its middle (0: no ends)."""
    boxes = [(x0, y0, x1, y1)]
    if half > 0:
        middle, thick = (y0 + y1) / 2, y1 - y0
        boxes += [(e, middle - half, e + thick, middle + half) for e in (x0, x1 - thick)]
    return boxes


def draw_footer(
    canvas: Canvas,
    *,
    style: str,
    value: float,
    unit: str,
    length: float,
    font: str,
    fields: tuple[str, ...],
    bottom: int,
) -> BarTruth:
    """Draw a footer below the rows `bottom` (for dots: over the lowest rows) and return its bar's truth."""
    rows, cols = canvas.pixels.shape
    tall = rows - bottom if style != "dots" else max(16, round(0.055 * rows))
    top = rows - tall - 0.5
    text_px = max(7.0, (0.42 if style == "dots" else 0.32) * tall)
    text = bar_text(value, unit)
    if length > 0.9 * cols:
        raise OptionError(
            f"a scale bar of {length:.0f} px does not fit into a footer of {cols} columns; choose a shorter bar_value."
        )
    if style == "dots":
        text = (
            f"{value:.{max(0, 2 - math.floor(math.log10(value)))}f}{unit}"
            if value < 1000
            else bar_text(value, unit, space=False)
        )
        y, x1 = top + 0.22 * tall, cols - 0.02 * cols - 0.63
        x0 = x1 - length
        for k, x in enumerate(np.linspace(x0, x1, 11)):
            half = (0.16 if k in (0, 5, 10) else 0.09) * tall
            canvas.rectangles([(x - 0.75, y - half, x + 0.75, y + half)], True)
        base = rows - 0.12 * tall
        right = canvas.text(text, x1 + 0.015 * cols, base, text_px, font, True, align="right")
        _fields(canvas, fields, 0.01 * cols, cols - right - 0.03 * cols, base, text_px, font, True)
        return BarTruth(value, unit, text, x1 - x0, x0, y - 1.5, x1, y + 1.5, style)
    white = style == "columns"
    canvas.rectangles([(-0.5, top, cols - 0.5, rows - 0.5)], not white, opaque=True)
    base = top + tall / 2 + text_px / 2
    thick = max(1.0, round(0.05 * tall))
    if style == "columns":
        x1 = cols - 0.03 * cols - 0.21
        x0 = x1 - length
        left, right = 0.015 * cols, min(x0, cols - 0.2 * cols) - 0.03 * cols
    else:
        x0 = 0.02 * cols + 0.29
        x1 = x0 + length
        left, right = max(x1, 0.15 * cols) + 0.05 * cols, cols - 0.02 * cols
    y0 = math.floor(top + 0.72 * tall) + 0.5  # on a pixel's edge, as instruments draw it
    canvas.text(text, (x0 + x1) / 2, top + 0.25 * tall + text_px / 2, text_px, font, white, align="middle")
    canvas.rectangles(_with_ends(x0, y0, x1, y0 + thick, 0.15 * tall), white)
    _fields(canvas, fields, left, right, base, text_px, font, white)
    return BarTruth(value, unit, text, x1 - x0, x0, y0, x1, y0 + thick, style)


def _fields(
    canvas: Canvas,
    fields: tuple[str, ...],
    left: float,
    right: float,
    base: float,
    text_px: float,
    font: str,
    white: bool,
) -> None:
    """Write as many fields as fit between two places."""
    x = left
    for text in fields:
        width = text_alpha(text, text_px, font)[0].shape[1]
        if x + width > right:
            return
        canvas.text(text, x, base, text_px, font, white)
        x += width + 1.6 * text_px


def draw_letter(canvas: Canvas, letter: str, *, font: str, text_px: float, bottom: int) -> None:
    """Draw a panel letter such as ``"(a)"`` at the upper left, white over dark and dark over bright."""
    alpha, base = text_alpha(letter, text_px, font)
    inset = 0.3 * text_px
    bright = canvas.is_bright(inset, inset + alpha.shape[0], inset, inset + alpha.shape[1])
    canvas.text(letter, inset, inset + base, text_px, font, not bright)
