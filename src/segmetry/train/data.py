"""Labelled images in memory, and the one file they pack into."""

from __future__ import annotations

import hashlib
import math
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from segmetry.errors import ReadError, ShapeMismatchError

LEVELS = 3
"""Levels of the pyramid kept of each image: full, half and quarter resolution."""


@dataclass(frozen=True, eq=False)
class Example:
    """One labelled image.

    Parameters
    ----------
    name : str
    group : str
        Publication or specimen: examples of one group never part over a split.
    pixels : (M, N) array
        Intensities of one channel.
    labels : (M, N) array of uint16
        0 background, 1..L particles.
    ignore : (M, N) array of bool or None
        True on burned-in text, bars and footers. Training takes no notice: the network learns that letters are no
        particles. Calibration masks them, as the method does.
    pixel_size : float or None
        Length of a pixel in nm.
    """

    name: str
    group: str
    pixels: np.ndarray
    labels: np.ndarray
    ignore: np.ndarray | None = None
    pixel_size: float | None = None

    def __post_init__(self) -> None:
        for what, array in (("labels are", self.labels), ("mask is", self.ignore)):
            if array is not None and array.shape != self.pixels.shape:
                raise ShapeMismatchError(
                    f"{self.name}: the image is {self.pixels.shape}, its {what} {array.shape}; they have to match."
                )


def pack(path: Path, examples: Sequence[Example]) -> None:
    """Write examples into one compressed file that `unpack` reads back, without any library of formats."""
    arrays: dict[str, np.ndarray] = {
        "names": np.array([e.name for e in examples]),
        "groups": np.array([e.group for e in examples]),
        "pixel_sizes": np.array([e.pixel_size or np.nan for e in examples]),
    }
    for i, e in enumerate(examples):
        arrays |= {f"pixels-{i}": e.pixels, f"labels-{i}": e.labels.astype(np.uint16)}
        if e.ignore is not None:
            arrays[f"ignore-{i}"] = e.ignore
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stubs take names for options


def unpack(path: Path) -> list[Example]:
    """Return the examples in a file that `pack` wrote; in one from before masks were packed nothing is hidden."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            names, groups = data["names"].tolist(), data["groups"].tolist()
            sizes = data["pixel_sizes"].tolist() if "pixel_sizes" in data else [math.nan] * len(names)
            return [
                Example(
                    name,
                    group,
                    data[f"pixels-{i}"],
                    data[f"labels-{i}"],
                    data.get(f"ignore-{i}"),
                    size if size > 0 else None,
                )
                for i, (name, group, size) in enumerate(zip(names, groups, sizes, strict=True))
            ]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReadError(f"{path}: this is no packed training data ({error}); make it again.") from error


def hash_examples(examples: Sequence[Example]) -> str:
    """Return the SHA-256 of all that is trained on, in the order of the names: the data hash of a model's card.

    That is pixels, labels, names and groups; masks and pixel sizes have no part in training.
    """
    digest = hashlib.sha256()
    for e in sorted(examples, key=lambda e: e.name):
        digest.update(f"{e.name} {e.group} {e.pixels.dtype.str} {e.pixels.shape}\n".encode())
        digest.update(np.ascontiguousarray(e.pixels).data)
        digest.update(np.ascontiguousarray(e.labels.astype(np.uint16)).data)
    return digest.hexdigest()


def pyramid(pixels: np.ndarray, levels: int = LEVELS) -> list[np.ndarray]:
    """Return an image at full resolution and halved again and again, by the mean of pixels."""
    out = [pixels if pixels.dtype == np.uint8 else pixels.astype(np.float32)]
    for _ in range(levels - 1):
        height, width = out[-1].shape
        out.append(cv2.resize(out[-1], (max(1, width // 2), max(1, height // 2)), interpolation=cv2.INTER_AREA))
    return out
