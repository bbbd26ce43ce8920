"""The pixel size of an image, from the user, its metadata or its scale bar, and each checked against the others."""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np

from segmetry.errors import unknown_name
from segmetry.io.scalebar import Annotations, ScaleBar, find_annotations
from segmetry.types import Calibration, Image
from segmetry.units import METRES

Scale = Literal["auto", "metadata", "bar", "none"]

MAX_DISAGREEMENT = 0.05
"""Relative difference between two sources of the pixel size from which on it is reported loudly."""


def calibrate(image: Image, *, scale: Scale = "auto", pixel_size: str | None = None) -> tuple[Image, Annotations]:
    """Return the image with its pixel size and with burned-in text masked, and what was burned in.

    The user's own `pixel_size` outranks all. ``"auto"`` takes the metadata where there are any, else the scale bar;
    where both are known, a difference of over 5 % is reported in the notes, and the metadata stand: they are exact and
    belong to the file, while a bar has to be read. (They are wrong where an image was resized by a program that kept
    them; then ``scale="bar"`` is right, and the note says so.)

    Parameters
    ----------
    image : Image
    scale : {"auto", "metadata", "bar", "none"}
        Where the pixel size may come from. Text and bars are masked in any case.
    pixel_size : str, optional
        Length of a pixel, such as ``"0.52 nm"``.

    Returns
    -------
    image : Image
        With `calibration` and `ignore` set.
    annotations : Annotations
        Scale bar, texts and notes. A stack is not searched for them.
    """
    if scale not in get_args(Scale):
        raise unknown_name("scale", scale, get_args(Scale))
    if image.axes == "YX":
        found = find_annotations(image.pixels)
    else:
        found = Annotations(None, np.zeros(image.spatial_shape, bool))
    ndim, bar, notes = len(image.spatial_shape), found.scale_bar, list(found.notes)
    of_file, of_bar = image.calibration, _of_bar(bar) if bar is not None else None
    if pixel_size is not None:
        chosen = Calibration.from_text(pixel_size, ndim)
        known = [("the metadata", of_file if of_file.known else None), ("the scale bar", of_bar)]
        notes += _disagreements(("the pixel size given", chosen), known, "the one given is used")
    elif scale == "none":
        chosen = Calibration.unknown(ndim)
    elif scale == "bar" or (scale == "auto" and not of_file.known):
        chosen = of_bar or Calibration.unknown(ndim)
    else:
        chosen = of_file
        if of_file.known:
            end = "the metadata are used; if the image was resized, take --scale bar"
            notes += _disagreements(("the metadata", of_file), [("the scale bar", of_bar)], end)
    ignore = found.ignore if image.ignore is None else image.ignore | found.ignore
    annotations = Annotations(bar, found.ignore, found.texts, tuple(notes))
    return image.replace(calibration=chosen, ignore=ignore), annotations


def _of_bar(bar: ScaleBar) -> Calibration:
    detail = f"bar of {bar.value:g} {bar.unit}, {bar.length_px:.2f} px long"
    return Calibration((bar.pixel_size,) * 2, bar.unit, bar.rel_uncertainty, "scale bar", detail)


def _disagreements(used: tuple[str, Calibration], others: list[tuple[str, Calibration | None]], end: str) -> list[str]:
    """Return a warning for each source that differs from the one that is used."""
    name, mine = used
    warnings = []
    for other, calibration in others:
        if calibration is not None:
            ratio = calibration.pixel_size * METRES[calibration.unit] / (mine.pixel_size * METRES[mine.unit])
            if abs(ratio - 1) > MAX_DISAGREEMENT:
                warnings.append(
                    f"WARNING: {other} says {calibration.pixel_size:.4g} {calibration.unit} per pixel, {name} "
                    f"{mine.pixel_size:.4g} {mine.unit}: {100 * abs(ratio - 1):.0f} % apart; {end}."
                )
    return warnings
