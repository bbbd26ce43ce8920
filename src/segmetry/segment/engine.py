"""Run a trained network on an image, by ONNX Runtime, without torch."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from segmetry.errors import ImageError, OptionError, ShapeMismatchError
from segmetry.io.card import Card
from segmetry.io.model_folder import CARD, ONNX, read_model_folder, resolve_model
from segmetry.segment.network_input import coordinates, in_units
from segmetry.segment.runtime import Run, start
from segmetry.segment.tiles import Reach, tile_for, windows

MEMORY = 1.0e9
"""Bytes that a run of the network may take, unless told."""

MASKS_AT_ONCE = 4
"""Dropout masks whose maps are made and kept at once by who takes samples one by one."""

OVERHEAD = 2.0
"""What the engine allocates for each byte of intermediate results; measured 1.2 to 1.9 for ONNX Runtime on a CPU."""


@dataclass(frozen=True, eq=False)
class Model:
    """A network that is ready to run.

    Parameters
    ----------
    card : Card
        What it is.
    path : Path
        Its folder.
    engine : str
        What runs it, for the report: ``"ONNX Runtime 1.31.1, cpu"``.
    run : callable
        Image (1, C, ...) and masks (n, K) to the maps (C', ...) of each; sides are multiples of ``card.multiple``.
    """

    card: Card
    path: Path
    engine: str
    run: Run

    def maps(
        self, pixels: np.ndarray, keep: np.ndarray | None = None, *, tile: int | Sequence[int] | None = None
    ) -> np.ndarray:
        """Return the network's maps of one image.

        Parameters
        ----------
        pixels : (M, N) or (C, M, N) array of float32
            The normalised image, see `normalise`; a volume has one axis more. Not changed.
        keep : (K,) or (n, K) array of float32, optional
            Dropout masks, see `segmetry.segment.dropout.draw_keep`; none unless told.
        tile : int or sequence of int, optional
            Sides of the windows in px; whatever they are, the maps are those of the whole image. Chosen to stay within
            `MEMORY` unless told.

        Returns
        -------
        maps : (C', M', N') or (n, C', M', N') array of float32
            ``M' = ceil(M / stride)``; with an axis for the masks if `keep` has one.

        Raises
        ------
        ImageError, ShapeMismatchError, OptionError
            If the image, the masks or the tile do not suit the network.

        Notes
        -----
        The image is padded with zeros, the mean grey of a standardised one, below and to the right up to a multiple of
        ``card.multiple``. Of several masks, layers before the first dropout are computed once.
        """
        image = self._checked(pixels)
        masks, single = self._masks(keep)
        shape = image.shape[1:]
        stride = self.card.stride
        maps = np.empty((len(masks), len(self.card.maps), *(math.ceil(n / stride) for n in shape)), np.float32)
        memory = max(MEMORY - maps.nbytes, 0.7 * MEMORY)  # so that images of 8192 x 8192 stay below 3 GB in all
        sides = self._tile(shape, tile, memory)
        for window in windows(shape, sides, reach_of(self.card)):
            inside = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(window, shape, strict=True))
            part = np.zeros((1, len(image), *(s.stop - s.start for s in window)), np.float32)
            filled = tuple(slice(0, i.stop - i.start) for i in inside)
            part[0][(slice(None), *filled)] = image[(slice(None), *inside)]
            ends = zip(window, maps.shape[2:], strict=True)
            core = [(s.start // stride, s.first // stride, min(s.last // stride, n)) for s, n in ends]
            source = tuple(slice(first - start, last - start) for start, first, last in core)
            target = tuple(slice(first, last) for _, first, last in core)
            for i, made in enumerate(self.run(part, masks)):
                maps[i][(slice(None), *target)] = made[(slice(None), *source)]
        return maps[0] if single else maps

    def _checked(self, pixels: np.ndarray) -> np.ndarray:
        n_axes, channels = len(self.card.axes), self.card.channels
        image = np.asarray(pixels, np.float32)
        if image.ndim == n_axes and channels == 1:
            image = image[np.newaxis]
        if image.ndim != n_axes + 1 or len(image) != channels or not image.size:
            raise ImageError(
                f"{self.card.name} takes {channels} channel(s) with the axes {self.card.axes}, got an array of shape "
                f"{np.shape(pixels)}."
            )
        if not np.isfinite(image).all():
            raise ImageError(f"{self.card.name}: the image holds pixels that are not finite; replace them first.")
        return image

    def _masks(self, keep: np.ndarray | None) -> tuple[np.ndarray, bool]:
        n = self.card.n_keep
        masks = np.ones(n, np.float32) if keep is None else np.asarray(keep, np.float32)
        if masks.ndim not in (1, 2) or masks.shape[-1] != n:
            raise ShapeMismatchError(
                f"dropout masks are {masks.shape}, but {self.card.name} takes {n} channels; see draw_keep."
            )
        return np.atleast_2d(masks), masks.ndim == 1

    def _tile(self, shape: tuple[int, ...], tile: int | Sequence[int] | None, memory: float) -> tuple[int, ...]:
        if tile is None:
            return tile_within(self.card, shape, memory)
        sides = (tile,) * len(shape) if isinstance(tile, int) else tuple(tile)
        if len(sides) != len(shape) or min(sides) < 1:
            raise OptionError(f"a tile has {len(shape)} sides of 1 px or more, got {tile}.")
        return sides


def reach_of(card: Card) -> Reach:
    """Return what tiles need to know of a card's network."""
    return Reach(card.stride, card.multiple, card.receptive_radius)


def tile_within(card: Card, shape: Sequence[int], memory: float) -> tuple[int, ...]:
    """Return the sides in px of the best window with which the network runs within so many bytes, see `tile_for`.

    Parameters
    ----------
    card : Card
        The network's.
    shape : sequence of int
        Sides of the image in px.
    memory : float
        Bytes that the network may take for one mask, beside the image and its maps.
    """
    return tile_for(shape, reach_of(card), memory / (OVERHEAD * card.bytes_per_pixel))


def normalise(card: Card, pixels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return an image as the network of a card wants it.

    Parameters
    ----------
    card : Card
        Its `normalisation` says how.
    pixels : (*S) or (C, *S) array
        Raw intensities. Not changed.
    valid : bool array of that shape, optional
        False where pixels are not specimen: they have no part in mean and standard deviation.

    Returns
    -------
    normalised : array of float32
        What is not valid keeps the greys that were filled in there. With an axis of channels in front where the
        normalisation is ``measured``.
    """
    if card.normalisation["kind"] == "measured":
        return _in_training_units(card, pixels)
    if card.normalisation["kind"] == "unit":
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else max(float(np.max(pixels)), 1e-12)
        return np.asarray(pixels, np.float32) / np.float32(top)
    clip = np.float32(card.normalisation["clip"])
    usable = pixels if valid is None else pixels[valid]
    if not usable.size:
        return np.zeros(pixels.shape, np.float32)
    mean, sd = float(usable.mean(dtype=np.float64)), float(usable.std(dtype=np.float64))
    scale = 1 / sd if sd > 1e-12 * max(abs(mean), 1e-30) else 0.0
    return ((pixels.astype(np.float32) - np.float32(mean)) * np.float32(scale)).clip(-clip, clip)


def _in_training_units(card: Card, pixels: np.ndarray) -> np.ndarray:
    image = pixels if pixels.ndim > len(card.axes) else pixels[np.newaxis]
    mean, sd = card.normalisation["mean"], card.normalisation["sd"]
    if len(image) != len(mean):
        raise ImageError(f"{card.name} was trained on {len(mean)} channel(s), the image has {len(image)}.")
    image = in_units(image, mean, sd)
    if not card.with_coordinates:
        return image
    rows, columns = (np.arange(n, dtype=np.float32) for n in image.shape[-2:])
    return np.concatenate([image, coordinates(rows[:, None], columns, image.shape[-2:], image.shape[1:])])


def load_model(name_or_path: str | Path, *, n_threads: int = 1, engine: str = "auto") -> Model:
    """Return the model in a folder, ready to run; the same one again for the same folder and content.

    Parameters
    ----------
    name_or_path : str or path
        A model's folder, or the name of one that comes with the package.
    n_threads : int
        Threads that one image may use.
    engine : {"auto", "cpu", "cuda", "openvino"}
        What runs it; ``"auto"`` takes a GPU if ONNX Runtime has one. All compute in 32 bits.

    Raises
    ------
    ReadError
        If the model is missing, damaged, of a newer format, or not what its card says.
    OptionError
        If no model has that name, or the engine is not there.
    """
    path = resolve_model(name_or_path)
    return _prepared(path, _state(path), n_threads, engine)


def _state(path: Path) -> tuple[tuple[int, ...], ...]:
    """Return what changes when a file of a folder is written: as long as it is the same, nothing is read again."""
    stats = [(path / name).stat() for name in (CARD, ONNX) if (path / name).exists()]
    return tuple((s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for s in stats)


@functools.lru_cache(maxsize=8)
def _prepared(path: Path, state: tuple[tuple[int, ...], ...], n_threads: int, engine: str) -> Model:
    folder = read_model_folder(path)
    started = start(folder, n_threads, engine)
    return Model(folder.card, folder.path, started.engine, started.run)
