"""Labelled images in memory, and the one file they pack into."""

from __future__ import annotations

import hashlib
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
    """

    name: str
    group: str
    pixels: np.ndarray
    labels: np.ndarray

    def __post_init__(self) -> None:
        if self.pixels.shape != self.labels.shape:
            raise ShapeMismatchError(
                f"{self.name}: the image is {self.pixels.shape}, its labels {self.labels.shape}; they have to match."
            )


def pack(path: Path, examples: Sequence[Example]) -> None:
    """Write examples into one compressed file that `unpack` reads back, without any library of formats."""
    arrays: dict[str, np.ndarray] = {
        "names": np.array([e.name for e in examples]),
        "groups": np.array([e.group for e in examples]),
    }
    for i, e in enumerate(examples):
        arrays |= {f"pixels-{i}": e.pixels, f"labels-{i}": e.labels.astype(np.uint16)}
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]  # the stubs take names for options


def unpack(path: Path) -> list[Example]:
    """Return the examples in a file that `pack` wrote."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return [
                Example(str(name), str(group), data[f"pixels-{i}"], data[f"labels-{i}"])
                for i, (name, group) in enumerate(zip(data["names"], data["groups"], strict=True))
            ]
    except (OSError, KeyError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReadError(f"{path}: this is no packed training data ({error}); make it again.") from error


def hash_examples(examples: Sequence[Example]) -> str:
    """Return the SHA-256 of all pixels and labels, in the order of the names: the data hash of a model's card."""
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
