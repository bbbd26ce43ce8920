"""An image through the steps of a recipe, with the files that they need beside it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from segmetry.errors import OptionError, ReadError, ShapeMismatchError
from segmetry.inputs import find_inputs
from segmetry.io import read
from segmetry.io.places import find_place
from segmetry.io.read import source_hash
from segmetry.prepare.step import Step
from segmetry.types import Image

N_REFERENCES = 8
"""References that a process keeps: all images of a batch share them."""


def prepare_image(image: Image, steps: Sequence[Step]) -> Image:
    """Return an image after all steps.

    Parameters
    ----------
    image : Image
    steps : sequence of Step

    Raises
    ------
    OptionError
        If a step needs a file that is not named, or the image has several channels.
    SegmetryError
        As the steps do.
    """
    if steps and image.channels is not None:
        raise OptionError(f"{image.name}: steps of preparation take one channel, but it has {len(image.channels)}.")
    for step in steps:
        step.check_axes(image)
        given = {option: _frames(str(getattr(step, option))) for option in _named(step)}
        image = step.run(image, given)
    return image


def reference_hashes(steps: Sequence[Step]) -> list[str]:
    """Return the SHA-256 of every file that steps need beside the image, in their order."""
    paths = [path for step in steps for option in _named(step) for path in find_inputs([getattr(step, option)])]
    return [hash_file(path) for path in paths]


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file, or of a folder that is one stack."""
    try:
        return source_hash(path)
    except OSError as error:
        raise ReadError(f"{path}: cannot be read ({error.strerror}); check its permissions.") from error


def _named(step: Step) -> list[str]:
    return [option for option in step.references if getattr(step, option)]


def _frames(name: str) -> np.ndarray:
    """Return the frames in a file, a folder or a pattern: (M, N) of one, (T, M, N) of several."""
    found = [(file, find_place(file).path.stat()) for file in find_inputs([name])]
    return _stack(tuple((file, about.st_mtime_ns, about.st_size) for file, about in found))


@lru_cache(N_REFERENCES)
def _stack(versions: tuple[tuple[Path, int, int], ...]) -> np.ndarray:
    """Return the frames in files, each with its time and size: one that was written anew is read anew."""
    files = [file for file, _, _ in versions]
    frames = [read(file).pixels for file in files]
    if len(frames) == 1:
        return frames[0]
    for file, frame in zip(files, frames, strict=True):
        here, there = frame.shape[-2:], frames[0].shape[-2:]
        if here != there:
            raise ShapeMismatchError(f"{file}: its frames are {here}, those of {files[0]} {there}; they have to match.")
    return np.concatenate([frame if frame.ndim == 3 else frame[np.newaxis] for frame in frames])
