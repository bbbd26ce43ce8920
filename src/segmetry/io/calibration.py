"""The pixel size of an image from all that is known: the user, the file, the burned-in scale bar."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from segmetry.errors import unknown_name
from segmetry.io.scalebar import Annotations, ScaleBar, find_annotations
from segmetry.types import Calibration, Image
from segmetry.units import convert

Scale = Literal["auto", "metadata", "bar", "none"]

DISAGREEMENT = 0.05
"""Metadata and scale bar that differ by more than this share are reported."""


def calibrate(
    image: Image, *, scale: Scale = "auto", pixel_size: str | None = None, threads: int = 1
) -> tuple[Image, Annotations]:
    """Return the image with its pixel size and with its burned-in annotations marked, and those annotations.

    Parameters
    ----------
    image : Image
        Only two-dimensional images (axes ``"YX"``) are searched for annotations; others keep their metadata.
    scale : {"auto", "metadata", "bar", "none"}
        Where the pixel size may come from. ``"auto"``: from the file's metadata, checked against the scale bar; else
        from the scale bar; else unknown. ``"none"``: measure in pixels. Annotations are marked in every case.
    pixel_size : str, optional
        The user's word, such as ``"0.52 nm"``, or a length for each axis, ``"0.5 nm, 0.6 nm"``: it wins over
        everything.
    threads : int
        Threads of the text reader.

    Returns
    -------
    image : Image
        With ``calibration``, ``ignore`` (what was marked before stays marked) and ``notes``.
    annotations : Annotations
        Scale bar, texts and mask; ``notes`` also holds what was said about the calibration.

    Raises
    ------
    CalibrationError
        If `pixel_size` is not a positive length, or does not fit the number of axes.
    OptionError
        If `scale` is none of the four.

    Notes
    -----
    Where metadata and bar differ by more than 5 %, the bar is taken and the notes say so: an image that was resized
    after the bar was drawn has stale metadata, while its bar shrank with the specimen, and nothing of the kind makes a
    clearly read bar wrong. One case is left: a factor of a power of ten is what a lost decimal point or a misread unit
    gives, so there the metadata stay. Where both agree, the metadata are kept: they carry more digits.
    """
    if scale not in get_args(Scale):
        raise unknown_name("scale", scale, get_args(Scale))
    n_axes = len(image.spatial_shape)
    given = None if pixel_size is None else Calibration.from_text(pixel_size, n_axes)
    if image.axes == "YX":
        annotations = find_annotations(image.pixels, threads=threads)
    else:
        annotations = Annotations(None, np.zeros(image.spatial_shape, bool), (), ())
    calibration, notes = _choose(image, annotations.scale_bar, scale, given)
    if not calibration.known and scale in ("auto", "bar"):
        notes = (*notes, "pixel size unknown: measured in pixels" + _reason(annotations))
    ignore = annotations.ignore if image.ignore is None else annotations.ignore | image.ignore
    annotations = Annotations(annotations.scale_bar, ignore, annotations.texts, annotations.notes + notes)
    return image.replace(calibration=calibration, ignore=ignore, notes=image.notes + notes), annotations


def _reason(annotations: Annotations) -> str:
    text = "; ".join(annotations.notes)
    return f" ({text.rstrip('.')})." if text else "."


def _choose(
    image: Image, bar: ScaleBar | None, scale: Scale, given: Calibration | None
) -> tuple[Calibration, tuple[str, ...]]:
    """Return the calibration to use and what the user should know about the choice."""
    from_file = image.calibration
    unknown = Calibration.unknown(len(image.spatial_shape))
    if given is not None:
        notes = []
        if bar is not None and abs(_ratio(bar, given) - 1) > DISAGREEMENT:
            notes.append(_conflict(bar, given, "the given pixel size", "The given pixel size is used."))
        if from_file.known:
            said = [convert(length, from_file.unit, given.unit) for length in from_file.spacing]
            if any(abs(theirs / ours - 1) > DISAGREEMENT for theirs, ours in zip(said, given.spacing, strict=True)):
                notes.append(
                    f"WARNING: the file says {_lengths(said)} {given.unit} per pixel, the given pixel size is "
                    f"{_lengths(given.spacing)} {given.unit}. The given pixel size is used."
                )
        return given, tuple(notes)
    if scale == "none":
        return unknown, ()
    if scale == "metadata":
        return from_file, ()
    if scale == "bar":
        return (unknown if bar is None else _from_bar(bar, unknown)), ()
    if bar is None:
        return from_file, ()
    if not from_file.known:
        return _from_bar(bar, unknown), ()
    ratio = _ratio(bar, from_file)
    if abs(ratio - 1) <= DISAGREEMENT:
        return from_file, (f"metadata and scale bar agree within {abs(ratio - 1):.1%}.",)
    power = math.log10(ratio)
    if round(power) and abs(power - round(power)) < math.log10(1 + DISAGREEMENT):
        end = "The metadata are used: a power of ten looks like a misread label. Check it."
        return from_file, (_conflict(bar, from_file, "the metadata", end),)
    end = "The scale bar is used: resizing an image leaves its metadata behind. Check it."
    return _from_bar(bar, from_file), (_conflict(bar, from_file, "the metadata", end),)


def _lengths(spacing: Sequence[float]) -> str:
    """Return lengths in array order, or one where all are equal."""
    texts = [f"{length:.4g}" for length in spacing]
    return texts[0] if len(set(texts)) == 1 else " × ".join(texts)


def _ratio(bar: ScaleBar, other: Calibration) -> float:
    """Return the bar's pixel size over another one, along the rows, where the bar lies."""
    return convert(bar.pixel_size, bar.unit, other.unit) / other.spacing[-1]


def _from_bar(bar: ScaleBar, shape_of: Calibration) -> Calibration:
    """Return the bar's calibration. Pixels that are known not to be square stay so."""
    aspect = shape_of.spacing[0] / shape_of.spacing[-1] if shape_of.known else 1.0
    detail = f"{bar.text!r} over {bar.length_px:.1f} px"
    return Calibration((bar.pixel_size * aspect, bar.pixel_size), bar.unit, bar.rel_uncertainty, "scale bar", detail)


def _conflict(bar: ScaleBar, other: Calibration, name: str, end: str) -> str:
    in_unit = convert(bar.pixel_size, bar.unit, other.unit)
    return (
        f"WARNING: scale bar and {name} disagree: {bar.text!r} over {bar.length_px:.1f} px makes {in_unit:.4g} "
        f"{other.unit} per pixel, {name} {'say' if name.endswith('a') else 'says'} {other.spacing[-1]:.4g}. {end}"
    )
