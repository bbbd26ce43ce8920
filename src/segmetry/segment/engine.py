"""Run a trained network on an image, by ONNX Runtime, without torch."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

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


class Part(NamedTuple):
    """What one window gives under one dropout mask.

    Parameters
    ----------
    mask : int
        Number of the mask.
    place : tuple of slice
        Where it lies in the maps.
    maps : (C', ...) array of float32
    """

    mask: int
    place: tuple[slice, ...]
    maps: np.ndarray


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
        self, pixels: Pixels, keep: np.ndarray | None = None, *, tile: int | Sequence[int] | None = None
    ) -> np.ndarray:
        """Return the network's maps of one image.

        Parameters
        ----------
        pixels : (M, N) or (C, M, N) array of float32, or InUnits
            The normalised image, see `normalise` and `by_window`; a volume has one axis more. Not changed.
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
        """
        image, masks = self._checked(pixels), self._masks(keep)
        maps = np.empty((len(masks), len(self.card.maps), *self._map_sides(image)), np.float32)
        memory = max(MEMORY - maps.nbytes, 0.7 * MEMORY)  # so that images of 8192 x 8192 stay below 3 GB in all
        for part in self.parts(image, masks, tile=tile, memory=memory):
            maps[part.mask][(slice(None), *part.place)] = part.maps
        return maps if keep is not None and np.ndim(keep) > 1 else maps[0]

    def parts(
        self,
        pixels: Pixels,
        keep: np.ndarray | None = None,
        *,
        tile: int | Sequence[int] | None = None,
        memory: float = MEMORY,
    ) -> Iterator[Part]:
        """Yield the maps window by window, for each mask in turn: for what need not be held as a whole.

        Parameters
        ----------
        pixels, keep, tile
            As for `maps`.
        memory : float
            Bytes that a run of the network may take, unless a tile is told.

        Notes
        -----
        The image is padded with zeros, the mean grey of a standardised one, below and to the right up to a multiple of
        ``card.multiple``. Of several masks, layers before the first dropout are computed once.
        """
        image, masks = self._checked(pixels), self._masks(keep)
        shape, stride = image.shape[1:], self.card.stride
        ends = self._map_sides(image)
        for window in windows(shape, self._tile(shape, tile, memory), reach_of(self.card)):
            inside = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(window, shape, strict=True))
            given = image[(slice(None), *inside)]
            if not np.isfinite(given).all():
                raise ImageError(f"{self.card.name}: the image holds pixels that are not finite; replace them first.")
            part = np.zeros((1, len(given), *(s.stop - s.start for s in window)), np.float32)
            part[0][(slice(None), *(slice(0, n) for n in given.shape[1:]))] = given
            core = [(s.start // stride, s.first // stride, min(s.last // stride, n)) for s, n in zip(window, ends)]
            source = tuple(slice(first - start, last - start) for start, first, last in core)
            target = tuple(slice(first, last) for _, first, last in core)
            for i, made in enumerate(self.run(part, masks)):
                yield Part(i, target, made[(slice(None), *source)])

    def _checked(self, pixels: Pixels) -> Pixels:
        n_axes, channels = len(self.card.axes), self.card.channels
        image = pixels if isinstance(pixels, InUnits) else np.asarray(pixels, np.float32)
        if not isinstance(image, InUnits) and image.ndim == n_axes and channels == 1:
            image = image[np.newaxis]
        if len(image.shape) != n_axes + 1 or image.shape[0] != channels or not all(image.shape):
            raise ImageError(
                f"{self.card.name} takes {channels} channel(s) with the axes {self.card.axes}, got an array of shape "
                f"{np.shape(pixels)}."
            )
        return image

    def _map_sides(self, image: Pixels) -> tuple[int, ...]:
        return tuple(math.ceil(n / self.card.stride) for n in image.shape[1:])

    def _masks(self, keep: np.ndarray | None) -> np.ndarray:
        n = self.card.n_keep
        masks = np.ones(n, np.float32) if keep is None else np.asarray(keep, np.float32)
        if masks.ndim not in (1, 2) or masks.shape[-1] != n:
            raise ShapeMismatchError(
                f"dropout masks are {masks.shape}, but {self.card.name} takes {n} channels; see draw_keep."
            )
        return np.atleast_2d(masks)

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


class Forecast(NamedTuple):
    """What a network will take: windows of these sides in px, their number, and bytes of memory for one."""

    tile: tuple[int, ...]
    n_tiles: int
    memory: float


def forecast(card: Card, shape: Sequence[int]) -> Forecast:
    """Return what the network of a card takes for an image of these sides in px, beside the image and its maps."""
    tile = tile_within(card, shape, MEMORY)
    n_tiles = sum(1 for _ in windows(shape, tile, reach_of(card)))
    return Forecast(tile, n_tiles, math.prod(tile) * OVERHEAD * card.bytes_per_pixel)


class InUnits:
    """An image in standard deviations of the training images: taken window by window, so it need not be in memory.

    Parameters
    ----------
    card : Card
        With a normalisation of the kind ``measured``.
    pixels : (*S) or (C, *S) array
        Raw intensities; anything with a shape whose items are channels. Not changed.

    Raises
    ------
    ImageError
        If the image has another number of channels than those that the network was trained on.
    """

    def __init__(self, card: Card, pixels: Any) -> None:
        self.card = card
        self.channels = pixels if len(pixels.shape) > len(card.axes) else pixels[np.newaxis]
        if (n := len(self.channels)) != (trained := len(card.normalisation["mean"])):
            raise ImageError(f"{card.name} was trained on {trained} channel(s), the image has {n}.")
        self.shape = (card.channels, *self.channels.shape[1:])

    def __getitem__(self, window: tuple[slice, ...]) -> np.ndarray:
        """Return all channels in a window (:, *S), float32; where the network has them, with those for the place."""
        place = window[1:]
        image = np.stack([np.asarray(channel[place], np.float32) for channel in self.channels])
        image = in_units(image, self.card.normalisation["mean"], self.card.normalisation["sd"])
        if self.card.with_coordinates:
            ends = self.shape[-2:]
            rows, columns = (np.arange(n, dtype=np.float32)[s] for n, s in zip(ends, place[-2:], strict=True))
            image = np.concatenate([image, coordinates(rows[:, None], columns, ends, image.shape[1:])])
        return image

    def whole(self) -> np.ndarray:
        """Return all of it, as an array."""
        return self[(slice(None),) * len(self.shape)]


Pixels = np.ndarray | InUnits
"""A normalised image (C, *S)."""


def by_window(card: Card, pixels: Any, valid: np.ndarray | None = None) -> Pixels:
    """Return what `normalise` does, computed as it is taken where no other part of the image has a say in it."""
    if card.normalisation["kind"] == "measured":
        return InUnits(card, pixels)
    return normalise(card, np.asarray(pixels), valid)


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
        return InUnits(card, pixels).whole()
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
