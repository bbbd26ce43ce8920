"""The one door: an image and a method in, labels out."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from segmetry.errors import ImageError
from segmetry.prepare.valid import as_finite, fill_invalid
from segmetry.segment.methods import Method, Scene
from segmetry.segment.table import method_from
from segmetry.types import SPATIAL_AXES, Image, Segmentation

_LARGEST = 1e12
"""Largest pixel: squares and products of three derivatives have to fit float32."""


def segment(
    image: Image | np.ndarray,
    method: str | Mapping[str, Any] | Method = "auto",
    *,
    options: Mapping[str, Any] | None = None,
) -> Segmentation:
    """Return the labels that a method finds in an image.

    Parameters
    ----------
    image : Image or array
        (M, N) image or (P, M, N) volume of real numbers; a network of several channels takes `Image.channels`. It is
        not changed. Where `Image.ignore` is True, and where pixels are not finite, nothing is found; but ``particles``
        follows one that is mostly seen below what covers it.
    method : str, mapping or Method
        Name of a method (`METHODS` has them all), or its record. Default: ``particles`` for images, ``otsu`` for
        volumes.
    options : mapping, optional
        Options that differ from the method's defaults; without a method's name those of ``particles``.

    Returns
    -------
    segmentation : Segmentation
        Labels of the image's spatial shape. `info` says what the method chose; an image in which nothing can be
        found gives empty labels and a note.

    Raises
    ------
    ImageError
        If the pixels are no 2D or 3D image of real numbers, or the method cannot take so many dimensions.
    OptionError
        If the method or an option does not exist, or a value is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> dots = np.zeros((40, 60)); dots[5:15, 5:15] = 1; dots[20:34, 30:44] = 1
    >>> segment(dots, "otsu", options={"polarity": "bright"}).n_regions
    2
    """
    record = method_from(method, options)
    if not isinstance(image, Image):
        pixels = np.asarray(image)
        if pixels.ndim not in (2, 3):
            raise ImageError(f"segment takes an (M, N) image or a (P, M, N) volume, got shape {pixels.shape}.")
        image = Image(pixels)
    if any(a not in SPATIAL_AXES for a in image.axes):
        raise ImageError(f"{image.name}: axes {image.axes!r} hold more than space; pick one page or channel first.")
    if image.pixels.dtype.kind not in "biuf":
        raise ImageError(f"{image.name}: pixels are {image.pixels.dtype}; segment needs real numbers.")
    record = record.for_ndim(image.pixels.ndim)
    record.check_ndim(image.pixels.ndim)

    channels, valid, n_bad = _usable(image)
    notes = [f"{n_bad} pixels are not finite and were ignored"] if n_bad else []
    usable = [channel if valid is None else channel[valid] for channel in channels]
    ends = [(float(one.min()), float(one.max())) for one in usable if one.size]
    reason = ""
    if not ends:
        reason = "no pixel can be used: all are ignored or not finite"
    elif all(low == high for low, high in ends):
        reason = "the image is constant"
    if reason:
        labels = np.zeros(image.spatial_shape, np.int32)
        notes.append(f"{reason}; nothing was found")
        info = {"polarity": "none", "n_before": 0}
        return Segmentation(labels, "instance", method=record.as_dict(), info=info, notes=tuple(notes))
    if (largest := max(map(abs, itertools.chain(*ends)))) > _LARGEST:
        raise ImageError(f"{image.name}: pixels reach {largest:.0e}; divide the image so that they stay below 1e12.")
    if valid is not None and image.pixels.ndim == 2:
        # What is not specimen becomes like what surrounds it, so that it has no edge.
        channels = [fill_invalid(channel, valid) for channel in channels]
    all_channels = np.stack(channels) if image.channels is not None else channels[0][np.newaxis]
    calibration = image.calibration
    result = record.run(Scene(all_channels[0], valid, calibration.spacing, calibration.unit, all_channels))
    return dataclasses.replace(result, method=record.as_dict(), notes=(*notes, *result.notes))


def _usable(image: Image) -> tuple[list[np.ndarray], np.ndarray | None, int]:
    """Return the channels of an image as finite float32, where all of them can be used, and how many pixels cannot."""
    channels = [image.pixels] if image.channels is None else list(image.channels)
    finite = [as_finite(channel, image.ignore) for channel in channels]
    masks = [one.valid for one in finite if one.valid is not None]
    valid = np.logical_and.reduce(masks) if len(masks) > 1 else next(iter(masks), None)
    return [one.pixels for one in finite], valid, sum(one.n_bad for one in finite)
