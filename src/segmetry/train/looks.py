"""What a run keeps to show how its network learned: a few held-out images, small, and what each check found in them."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np

from segmetry.errors import ReadError
from segmetry.io.atomic import atomic
from segmetry.train.augment import IGNORED

if TYPE_CHECKING:
    from segmetry.train.samples import Labelled

LOOKS = "looks"
IMAGES, TRUTHS = "image", "truth"
MOST = 4
SIDE = 256
"""Longest side of what is kept, px."""


class Looks(NamedTuple):
    """Small pictures of a run by image, of one size each.

    Parameters
    ----------
    images : mapping of str to (M, N) array of float32
        Mean of the channels.
    truths : mapping of str to (M, N) array of uint8
        Classes, `IGNORED` where nobody labelled.
    found : mapping of int to mapping of str to (M, N) array of uint8
        Classes by step, in the order of the steps.
    """

    images: Mapping[str, np.ndarray]
    truths: Mapping[str, np.ndarray]
    found: Mapping[int, Mapping[str, np.ndarray]]


def shown(held_out: Sequence[Labelled]) -> list[Labelled]:
    """Return the images that are looked at: up to `MOST`, evenly spaced."""
    places = np.linspace(0, len(held_out) - 1, min(MOST, len(held_out)))
    return [held_out[round(place)] for place in places]


def small(values: np.ndarray, image: Labelled) -> np.ndarray:
    """Return every k-th pixel of values on the grid of an image, so that no side is longer than `SIDE`.

    Of a volume it is the plane of which most is labelled, the middle one where there are several.
    """
    plane = _plane(values, image)
    step = -(-max(plane.shape) // SIDE)
    return np.ascontiguousarray(plane[::step, ::step])


def begin_looks(folder: Path, held_out: Sequence[Labelled]) -> None:
    """Keep the images that are looked at, and their truth."""
    if not held_out:
        return
    images = {image.name: image for image in shown(held_out)}
    truths = {name: small(np.asarray(image.classes), image) for name, image in images.items()}
    (folder / LOOKS).mkdir(exist_ok=True)
    _save(folder, TRUTHS, truths)
    _save(folder, IMAGES, {name: _grey(image, truths[name].shape) for name, image in images.items()})


def keep_look(folder: Path, step: int, found: Mapping[str, np.ndarray]) -> None:
    """Keep what a check found in the images; a check that comes again after a stop takes the place of the first."""
    if found:
        (folder / LOOKS).mkdir(exist_ok=True)
        _save(folder, f"{step:06d}", found)


def read_looks(folder: Path) -> Looks:
    """Return what a run kept; nothing where no image was held out."""
    steps = {int(path.stem): path for path in (folder / LOOKS).glob("*.npz") if path.stem.isdecimal()}
    kept = {name: path for name in (IMAGES, TRUTHS) if (path := folder / LOOKS / f"{name}.npz").exists()}
    if len(kept) < 2:
        return Looks({}, {}, {})
    return Looks(_load(kept[IMAGES]), _load(kept[TRUTHS]), {step: _load(steps[step]) for step in sorted(steps)})


def _plane(values: np.ndarray, image: Labelled) -> np.ndarray:
    if values.ndim == 2:
        return values
    labelled = (np.asarray(image.classes) != IGNORED).sum(axis=(1, 2))
    best = np.flatnonzero(labelled == labelled.max())
    return np.asarray(values[best[len(best) // 2]])


def _grey(image: Labelled, shape: tuple[int, ...]) -> np.ndarray:
    pixels = np.asarray(image.pixels)
    mean = np.mean([_plane(channel, image) for channel in pixels], axis=0, dtype=np.float32)
    return cv2.resize(mean, shape[::-1], interpolation=cv2.INTER_AREA)


def _save(folder: Path, name: str, arrays: Mapping[str, np.ndarray]) -> None:
    with atomic(folder / LOOKS / f"{name}.npz") as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]


def _load(path: Path) -> dict[str, np.ndarray]:
    try:
        with np.load(path, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ReadError(f"{path}: is damaged ({error}); delete the folder, the report does without it.") from error
