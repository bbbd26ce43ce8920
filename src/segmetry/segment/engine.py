"""Run a trained network on an image, by ONNX Runtime, without torch."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from segmetry.errors import ImageError, OptionError, ReadError, ShapeMismatchError, unknown_name
from segmetry.io.model_folder import Card, ModelFolder, read_model_folder, resolve_model
from segmetry.segment.tiles import Reach, padded, tile_for, windows

MEMORY = 1.0e9
"""Bytes that one window of the network may take, unless told."""

MASKS_AT_ONCE = 4
"""Dropout masks that one run of the network takes: layers before the first dropout are computed once for all of them."""

ENGINES = {"auto": (), "cpu": ("CPUExecutionProvider",), "cuda": ("CUDAExecutionProvider", "CPUExecutionProvider")}
"""Names of engines, and the providers of ONNX Runtime each asks for."""

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Images (B, C, ...) and masks (n, K) to maps (max(B, n), C', ...)."""


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
        What runs it, for the report: ``"ONNX Runtime 1.31.1, CPU"``.
    run : callable
        Images (B, C, ...) and masks (n, K) to maps; sides are multiples of ``card.multiple``.
    """

    card: Card
    path: Path
    engine: str
    run: Run

    @property
    def reach(self) -> Reach:
        """What tiles need to know of the network."""
        return Reach(self.card.stride, self.card.multiple, self.card.receptive_radius)

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
        ``card.multiple``.
        """
        image = self._checked(pixels)
        masks, single = self._masks(keep)
        shape = image.shape[1:]
        stride = self.card.stride
        maps = np.empty((len(masks), len(self.card.maps), *(math.ceil(n / stride) for n in shape)), np.float32)
        for window in windows(shape, self._tile(shape, tile), self.reach):
            inside = tuple(slice(s.start, min(s.stop, n)) for s, n in zip(window, shape, strict=True))
            part = np.zeros((1, len(image), *(s.stop - s.start for s in window)), np.float32)
            part[(0, slice(None), *(slice(0, i.stop - i.start) for i in inside))] = image[(slice(None), *inside)]
            whole = zip(window, maps.shape[2:], strict=True)
            core = [(s.start // stride, s.first // stride, min(s.last // stride, n)) for s, n in whole]
            target = tuple(slice(first, last) for _, first, last in core)
            source = tuple(slice(first - start, last - start) for start, first, last in core)
            for i in range(0, len(masks), MASKS_AT_ONCE):
                some = slice(i, i + MASKS_AT_ONCE)
                maps[(some, slice(None), *target)] = self.run(part, masks[some])[(slice(None), slice(None), *source)]
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

    def _tile(self, shape: tuple[int, ...], tile: int | Sequence[int] | None) -> tuple[int, ...]:
        if tile is None:
            return tile_for(shape, self.reach, MEMORY / 150)
        sides = (tile,) * len(shape) if isinstance(tile, int) else tuple(tile)
        if len(sides) != len(shape) or min(sides) < 1:
            raise OptionError(f"a tile has {len(shape)} sides of 1 px or more, got {tile}.")
        return sides


def normalise(card: Card, pixels: np.ndarray, valid: np.ndarray | None = None) -> np.ndarray:
    """Return an image as the network of a card wants it.

    Parameters
    ----------
    card : Card
        Its `normalisation` says how.
    pixels : array
        Raw intensities. Not changed.
    valid : bool array of that shape, optional
        False where pixels are not specimen; they count for nothing.

    Returns
    -------
    normalised : array of float32
        Pixels that are not valid are 0 where the image is standardised.
    """
    if card.normalisation["kind"] == "unit":
        top = np.iinfo(pixels.dtype).max if pixels.dtype.kind == "u" else max(float(np.max(pixels)), 1e-12)
        return np.asarray(pixels, np.float32) / np.float32(top)
    clip = np.float32(card.normalisation["clip"])
    usable = pixels if valid is None else pixels[valid]
    if not usable.size:
        return np.zeros(pixels.shape, np.float32)
    mean, sd = float(usable.mean(dtype=np.float64)), float(usable.std(dtype=np.float64))
    scale = 1 / sd if sd > 1e-12 * max(abs(mean), 1e-30) else 0.0
    standard = ((pixels.astype(np.float32) - np.float32(mean)) * np.float32(scale)).clip(-clip, clip)
    return standard if valid is None else np.where(valid, standard, np.float32(0))


def load_model(name_or_path: str | Path, *, n_threads: int = 1, engine: str = "auto") -> Model:
    """Return the model in a folder, ready to run; the same one again for the same folder and content.

    Parameters
    ----------
    name_or_path : str or path
        A model's folder, or the name of one that comes with the package.
    n_threads : int
        Threads that one image may use.
    engine : {"auto", "cpu", "cuda"}
        What runs it; ``"auto"`` takes a GPU if ONNX Runtime has one.

    Raises
    ------
    ReadError
        If the model is missing, damaged, of a newer format, or not what its card says.
    OptionError
        If no model has that name, or the engine is not there.
    """
    folder = read_model_folder(resolve_model(name_or_path))
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    return _prepared(_Key(folder), n_threads, engine)


class _Key:
    """A model folder that is equal to another with the same content at the same place."""

    def __init__(self, folder: ModelFolder) -> None:
        self.folder = folder
        self.same = (folder.path.resolve(), folder.card.to_json())

    def __hash__(self) -> int:
        return hash(self.same)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.same == other.same


@functools.lru_cache(maxsize=8)
def _prepared(key: _Key, n_threads: int, engine: str) -> Model:
    import onnxruntime

    folder = key.folder
    available = onnxruntime.get_available_providers()
    if engine == "auto":
        engine = "cuda" if "CUDAExecutionProvider" in available else "cpu"
    if ENGINES[engine][0] not in available:
        raise OptionError(f"engine {engine} is not there: ONNX Runtime {onnxruntime.__version__} has {available}.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    # TF32 would round products to 10 bits: another answer than the CPU's.
    settings: list[Any] = [(name, {"use_tf32": "0"} if name.startswith("CUDA") else {}) for name in ENGINES[engine]]
    try:
        session = onnxruntime.InferenceSession(folder.onnx, options, providers=settings)
    except Exception as error:  # the runtime raises a dozen kinds of its own
        raise ReadError(f"{folder.path}: the network cannot be loaded ({str(error).splitlines()[0]:.200}).") from None
    inputs = _fit(session, folder)

    def run(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
        given = {"image": image, "keep": keep}
        maps = session.run(["maps"], {name: given[name] for name in inputs})[0]
        return np.broadcast_to(maps, (max(len(image), len(keep)), *maps.shape[1:]))

    return Model(folder.card, folder.path, f"ONNX Runtime {onnxruntime.__version__}, {engine.upper()}", run)


def _fit(session: Any, folder: ModelFolder) -> tuple[str, ...]:
    """Return the names of a network's inputs, or raise the error that says where it differs from its card."""
    card = folder.card
    wanted = {"image": card.channels, "keep": card.n_keep, "maps": len(card.maps)}
    found = {node.name: node.shape for node in (*session.get_inputs(), *session.get_outputs())}
    for name, channels in wanted.items():
        if name not in found and name == "keep" and not channels:
            continue
        dims = len(found.get(name, ()))
        right = dims == (2 if name == "keep" else len(card.axes) + 2)
        if not right or (isinstance(found[name][1], int) and found[name][1] != channels):
            raise ReadError(
                f"{folder.path}: the network is not what its card says: {name} should have {channels} channels, the "
                f"network has { ({k: list(v) for k, v in found.items()}) }."
            )
    return tuple(node.name for node in session.get_inputs())
