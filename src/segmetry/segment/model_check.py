"""Is a model whole, and does it run on this machine as it should?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from scipy import ndimage

from segmetry.cost import costed
from segmetry.errors import ReadError
from segmetry.io.card import Card
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import Model, load_model, normalise, reach_of
from segmetry.segment.runtime import installed_engines
from segmetry.segment.tiles import padded, up_to

SAME = 1e-4
"""Largest difference, in standard deviations of a map or in its own unit, that counts as round-off: engines choose
other kernels for other sizes, and export allows as much between torch and ONNX Runtime."""

SMALL = {2: 64, 3: 16}
"""Side of the example images in px, by the number of axes."""

LARGE = {2: 512, 3: 64}
"""The same of the image that time and memory are measured with."""


@dataclass(frozen=True)
class EngineCheck:
    """What one engine made of a model.

    Parameters
    ----------
    engine : str
        Name and version.
    seconds_per_megapixel : float
        Processor time on one thread (wall time on a GPU), of an image of the sides `sides`.
    sides : tuple of int
        In px.
    peak_memory : float
        How far the process rose for it, in MiB; nan where the system does not tell.
    tiled_difference : float or None
        Largest difference between maps in tiles and of the whole image; None for a network that takes no tiles.
    engine_difference : float
        Largest difference to the first engine, ONNX Runtime on the processor.
    samples : bool
        Whether Monte Carlo samples can be drawn.
    """

    engine: str
    seconds_per_megapixel: float
    sides: tuple[int, ...]
    peak_memory: float
    tiled_difference: float | None
    engine_difference: float
    samples: bool

    def as_dict(self) -> dict[str, Any]:
        """Return plain data for JSON."""
        return asdict(self)


def check_model(name_or_path: str | Path) -> list[EngineCheck]:
    """Return what every installed engine makes of a model, once all is as it should be.

    Parameters
    ----------
    name_or_path : str or path
        A model's folder, or the name of one that comes with the package.

    Raises
    ------
    ReadError
        If the card or the network is missing, damaged or not what the card says; if maps are not finite, tiles give
        something else than the whole image, a mask does not give the same sample again or changes nothing, or an engine
        gives something else than the first.
    """
    found: list[EngineCheck] = []
    first: np.ndarray | None = None
    for engine in installed_engines():
        model = load_model(name_or_path, engine=engine)
        n_axes = len(model.card.axes)
        image = normalise(model.card, example_image(model.card, example_sides(model.card, SMALL[n_axes])))
        maps = model.maps(image)
        _require(bool(np.isfinite(maps).all()), model, "gives maps that are not finite")
        first = maps if first is None else first
        apart = _difference(maps, first)
        _require(apart <= SAME, model, f"differs from ONNX Runtime by {apart:.2g} standard deviations of a map")
        _check_samples(model, image, maps)
        tiled = _tiled_difference(model)
        large = normalise(model.card, example_image(model.card, example_sides(model.card, LARGE[n_axes])))
        cost = costed(partial(model.maps, large))
        n_pixels = math.prod(large.shape[-n_axes:])
        seconds = cost.seconds if engine == "cuda" else cost.cpu_seconds
        found.append(
            EngineCheck(
                model.engine,
                1e6 * seconds / n_pixels,
                large.shape[-n_axes:],
                cost.peak_memory,
                tiled,
                float(np.abs(maps - first).max()),
                model.card.can_sample,
            )
        )
    return found


def example_image(card: Card, sides: Sequence[int]) -> np.ndarray:
    """Return a blurred noise (C, *sides) with the greys that the network of a card knows, as they come from a file.

    Channels that tell the place in the image are not among them; `normalise` adds these.
    """
    n_channels = card.image_channels
    rng = np.random.default_rng(0)
    noise = ndimage.gaussian_filter(rng.standard_normal((n_channels, *sides)), (0, *(2.0,) * len(sides)), mode="wrap")
    noise = (noise - noise.mean()) / noise.std()
    if card.normalisation["kind"] == "measured":
        shape = (-1,) + (1,) * len(sides)
        mean, sd = (np.reshape(card.normalisation[key], shape) for key in ("mean", "sd"))
        return (mean + sd * noise).astype(np.float32)
    greys = np.clip(128 + 40 * noise, 0, 255)
    return greys.astype(np.uint8 if card.normalisation["kind"] == "unit" else np.float32)


def example_sides(card: Card, side: int) -> tuple[int, ...]:
    """Return sides in px that the network takes without padding, of at least `side`."""
    return padded((side,) * len(card.axes), card.multiple)


def _check_samples(model: Model, image: np.ndarray, maps: np.ndarray) -> None:
    keep = draw_keep(model.card.dropout, 2, seed=0)
    samples = model.maps(image, keep)
    _require(bool(np.isfinite(samples).all()), model, "gives samples that are not finite")
    _require(np.array_equal(samples, model.maps(image, keep)), model, "gives another sample for the same mask")
    if model.card.can_sample:
        _require(not np.array_equal(samples[0], maps), model, "gives the same maps whatever the dropout mask")


def _tiled_difference(model: Model) -> float | None:
    """Return the largest difference between tiles and the whole, in images that are long along one axis each."""
    card = model.card
    if card.receptive_radius is None:
        return None
    window = up_to(2 * reach_of(card).halo + card.multiple, card.multiple)
    largest = 0.0
    for axis in range(len(card.axes)):
        short = example_sides(card, SMALL[len(card.axes)])
        long = max(window + 3 * card.multiple, short[axis])
        sides = (*short[:axis], long, *short[axis + 1 :])
        image = normalise(card, example_image(card, sides))
        whole = model.maps(image, tile=sides)
        tiled = model.maps(image, tile=(*sides[:axis], window, *sides[axis + 1 :]))
        apart = _difference(tiled, whole)
        _require(apart <= SAME, model, f"gives something else in tiles than for the whole image, by {apart:.2g}")
        largest = max(largest, float(np.abs(tiled - whole).max()))
    return largest


def _difference(maps: np.ndarray, others: np.ndarray) -> float:
    """Return the largest difference, in a map's standard deviation where that is above 1."""
    inside = tuple(range(1, maps.ndim))
    return float((np.abs(maps - others).max(axis=inside) / np.maximum(others.std(axis=inside), 1)).max())


def _require(holds: bool, model: Model, what: str) -> None:
    if not holds:
        raise ReadError(f"{model.path}: with {model.engine} the network {what}; do not use it here, get it anew.")
