"""From files to a trained model: a folder of images and one of labels in, a model folder out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from segmetry.errors import ImageError, LabelError, OptionError
from segmetry.io import calibrate, read
from segmetry.io.labels import read_labels
from segmetry.partners import FilePair, pair_files, read_groups
from segmetry.units import convert

if TYPE_CHECKING:
    from segmetry.train.data import Example

_MOST_LABELS = 65534


def load_examples(
    images: Path,
    truth: Path,
    *,
    groups: Path | None = None,
    track: Callable[[Sequence[FilePair]], Iterable[FilePair]] = iter,
) -> list[Example]:
    """Return labelled images from two folders; image and labels share their stem.

    Burned-in text, bars and footers are found, and pixel sizes read, as `segmetry measure` does: a quarter of a
    second of one core an image.

    Parameters
    ----------
    images, truth : path
        Two folders, or two files.
    groups : path, optional
        CSV of image and group, see `segmetry.partners.read_groups`; each image is its own group unless told.
    track : callable
        Given the pairs, yields them: the place for a progress bar.

    Raises
    ------
    ReadError
        If a file is missing or cannot be read.
    ImageError, LabelError
        If an image is not 2D, or the labels are no numbers of particles.
    """
    from segmetry.train.data import Example

    pairs = pair_files(images, truth, what="image").pairs
    names = [pair.name for pair in pairs]
    of_group = read_groups(groups, names)[1] if groups else names
    examples = []
    for pair, group in zip(track(pairs), of_group, strict=True):
        image = read(pair.first)
        pixels = image.pixels
        labels = read_labels(pair.truth).values
        if pixels.ndim != 2:
            raise ImageError(f"{pair.first}: has the shape {pixels.shape}; this network learns from 2D images.")
        if labels.min(initial=0) < 0 or labels.max(initial=0) > _MOST_LABELS:
            raise LabelError(f"{pair.truth}: particles are numbered 1 to {_MOST_LABELS}, 0 is background.")
        image, _ = calibrate(image)
        ignore = image.ignore if image.ignore is not None and image.ignore.any() else None
        length = image.calibration
        size = convert(length.pixel_size, length.unit, "nm") if length.known else None
        kept = pixels if pixels.dtype == np.uint8 else np.asarray(pixels, np.float32)
        examples.append(Example(pair.name, group, kept, labels.astype(np.uint16), ignore, size))
    return examples


def need_torch() -> None:
    """Raise the error that says how to get what training needs, where it is missing."""
    from importlib.util import find_spec

    for package in ("torch", "lightning_fabric", "onnx"):
        if find_spec(package) is None:
            raise OptionError(f"training needs {package}, which is not installed; pip install 'segmetry[train]'.")
