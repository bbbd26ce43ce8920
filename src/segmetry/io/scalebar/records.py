"""What was found burned into an image: texts, the scale bar, the pixels to leave out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from segmetry.io.scalebar.ocr import Box


@dataclass(frozen=True, slots=True)
class Text:
    """One line of burned-in text.

    Parameters
    ----------
    text : str
        As it was read.
    box : Box
        Rows and columns it covers, end-exclusive: ``x0, y0, x1, y1``.
    confidence : float
        Mean probability of its characters.
    """

    text: str
    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class ScaleBar:
    """A scale bar: its value, and its two ends to a fraction of a pixel.

    Parameters
    ----------
    value, unit : float, str
        The length that the label names: 500, ``"nm"``.
    length_px : float
        Distance of the ends in pixels. A line or box counts from outer edge to outer edge at half height; a row of
        separate ticks from the centre of the first to the centre of the last; a line with end ticks half-way between
        the ticks' outer edges and their centres, because programs draw it either way.
    x0, y0, x1, y1 : float
        Column and row of both ends; integers are centres of pixels.
    confidence : float
        In [0, 1]; below the threshold of `find_annotations` a bar is not reported at all.
    rel_uncertainty : float
        Relative standard uncertainty of the pixel size.
    text : str
        The label as it was read.
    """

    value: float
    unit: str
    length_px: float
    x0: float
    y0: float
    x1: float
    y1: float
    confidence: float
    rel_uncertainty: float
    text: str

    @property
    def pixel_size(self) -> float:
        """Length of a pixel, in `unit`."""
        return self.value / self.length_px


@dataclass(frozen=True, eq=False)
class Annotations:
    """Everything that was drawn over an image.

    Parameters
    ----------
    scale_bar : ScaleBar or None
        None where there is none, or where it is in doubt; `notes` says why.
    ignore : (M, N) array of bool
        True on text, bar, footer and their backgrounds.
    texts : tuple of Text
        Lines that were read with confidence.
    notes : tuple of str
        What the user should know.
    """

    scale_bar: ScaleBar | None
    ignore: np.ndarray
    texts: tuple[Text, ...] = ()
    notes: tuple[str, ...] = ()
