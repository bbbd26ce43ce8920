"""The method `network`: a trained network that gives every pixel a class, in exact tiles."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segmetry.cost import available_memory, gigabytes
from segmetry.errors import ImageError, OptionError, ReadError
from segmetry.io.card import Card
from segmetry.options import option
from segmetry.segment.dropout import draw_keep, no_dropout
from segmetry.segment.engine import InUnits, Model, Pixels, by_window, forecast, load_model
from segmetry.segment.methods import Method, Scene
from segmetry.segment.network_input import unlike_greys, unlike_pixels
from segmetry.types import Segmentation

_GIVE_ALL = "give them all in their order, in one file or in the files NAME_0000, NAME_0001, ... of one folder"

MUCH = 2e9
"""Bytes of memory from which on a run is announced."""

ROWS = 64
"""Rows, or planes of a volume, that are made into classes at once where copies were averaged."""


@dataclass(frozen=True, kw_only=True)
class Network(Method):
    """Class of every pixel, by a network that `segmetry train` made.

    The class is the most probable one. Turned and mirrored copies (`turns`) are averaged as probabilities. With
    `samples` the network runs again under random masks (Monte Carlo dropout); each run is a segmentation of its own,
    and what they disagree on is the epistemic part of the uncertainty.
    """

    name: ClassVar[str] = "network"
    summary: ClassVar[str] = "a network of your own (segmetry train): the class of every pixel"
    ndims: ClassVar[tuple[int, ...]] = (2, 3)

    model: str = option("", "folder of the model", kind="text")
    turns: int = option(1, "flips and quarter turns that are averaged", low=1, high=8)
    samples: int = option(0, "Monte Carlo samples; they give intervals the segmentation's share", low=0, high=256)
    seed: int = option(0, "of the random masks", low=0, high=2**32 - 1)

    def check(self) -> None:
        """Raise the error of a model that is missing, damaged or of another kind, or has no dropout to sample."""
        self._loaded()

    @property
    def n_channels(self) -> int:
        """How many channels of an image the network looks at."""
        return self._loaded().card.image_channels

    def forecast(self, shape: tuple[int, ...]) -> str:
        """Return what an image of this shape will take, where that is more than `MUCH`."""
        card = self._loaded().card
        if len(card.axes) != len(shape):
            return ""
        tile, n_tiles, memory = forecast(card, shape)
        n_maps = len(card.classes) + card.channels if self.turns > 1 else 0
        n_kept = card.image_channels + 3 + self.samples + (self.samples > 1) + n_maps
        memory += 4 * n_kept * math.prod(shape)
        if memory < MUCH:
            return ""
        there = 2**20 * available_memory()
        pieces = f"{n_tiles} tiles of {_by(tile)} px" if n_tiles > 1 else "one piece"
        told = f"{_by(shape)} px in {pieces}, about {gigabytes(memory)} of memory"
        if not memory > there:  # nor where nobody tells
            return told
        why = "" if card.receptive_radius is not None else "; this network sees the whole image at once: crop it"
        return f"WARNING: {told}, but {gigabytes(there)} are free{why}"

    def run(self, scene: Scene) -> Segmentation:
        """Return the classes of a scene."""
        model = self._loaded()
        card, shape = model.card, scene.pixels.shape
        if len(card.axes) != len(shape):
            raise ImageError(f"the model {self.model} takes {len(card.axes)}D images, got {len(shape)}D.")
        if (n := len(scene.channels)) != (trained := card.image_channels):
            mend = "pick one of them with page" if trained == 1 else _GIVE_ALL
            raise ImageError(
                f"the model {self.model} was trained on {trained} channel{'s' * (trained > 1)}, the image has {n}; "
                f"{mend}."
            )
        pixels = by_window(card, scene.pixels if trained == 1 else scene.channels, scene.valid)
        labels = np.empty(shape, np.int32)
        probability, entropy = np.empty(shape, np.float32), np.empty(shape, np.float32)
        for place, chance in _chances(model, pixels, self.turns):
            labels[place] = chance.argmax(axis=0)
            probability[place] = chance[1] if len(chance) == 2 else chance.max(axis=0)
            entropy[place] = entropy_of(chance)
        samples = [np.empty(shape, np.int32) for _ in range(self.samples)]
        epistemic = np.empty(shape, np.float32) if self.samples > 1 else None  # one disagrees with none
        if samples:
            masks = draw_keep(card.dropout, self.samples, self.seed)
            total: Any = 0
            expected: Any = 0
            for mask, place, maps in model.parts(pixels, masks):
                chance = _tempered(card, maps)
                samples[mask][place] = chance.argmax(axis=0)
                total = total + chance if mask else chance
                expected = expected + entropy_of(chance) if mask else entropy_of(chance)
                if mask + 1 == self.samples:
                    entropy[place] = entropy_of(total / self.samples)
                    if epistemic is not None:
                        epistemic[place] = np.maximum(entropy[place] - expected / self.samples, 0)
        if scene.valid is not None:
            for found in (labels, *samples):
                found[~scene.valid] = 0
        return Segmentation(
            labels,
            "semantic",
            classes=card.classes,
            info={
                "model": card.identity,
                "engine": model.engine,
                "can_sample": card.can_sample,
                "turns": self.turns,
            },
            notes=(*unlike_greys(card, scene), *unlike_pixels(card, scene)),
            probability=probability,
            uncertainty=entropy,
            epistemic=epistemic,
            samples=tuple(samples),
        )

    def _loaded(self) -> Model:
        if not self.model:
            raise OptionError("network: name the folder of a model: -m FOLDER, or --set model=FOLDER.")
        model = load_model(self.model)
        if model.card.task != "classes":
            raise OptionError(f"network: the model {self.model} is for {model.card.task}; name one for classes.")
        classes, maps = model.card.classes, model.card.maps
        if len(classes) < 2 or len(map_names(classes)) > len(maps):
            raise ReadError(
                f"{self.model}: its card names {len(classes)} classes and {len(maps)} maps, which do not go together; "
                "get the model anew."
            )
        if self.samples and not model.card.can_sample:
            raise no_dropout(self.name, self.model)
        return model


def temper(model: Model, pixels: Pixels, turns: int) -> np.ndarray:
    """Return the calibrated probability of every class (K, *S), the mean over turned and mirrored copies."""
    if turns > 1 and isinstance(pixels, InUnits):  # the place of a pixel turns with it
        pixels = pixels.whole()
    total = np.zeros((len(model.card.classes), *pixels.shape[-len(model.card.axes) :]), np.float32)
    for turn in range(turns):
        copy = pixels if isinstance(pixels, InUnits) else np.ascontiguousarray(_turned(pixels, turn))
        seen = _turned(total, turn)
        for _, place, maps in model.parts(copy):
            seen[(slice(None), *place)] += _tempered(model.card, maps)
    return np.divide(total, turns, out=total)


def _chances(model: Model, pixels: Pixels, turns: int) -> Iterator[tuple[tuple[slice, ...], np.ndarray]]:
    """Yield the probabilities that `temper` gives, part by part, and where each lies."""
    if turns == 1:
        for _, place, maps in model.parts(pixels):
            yield place, _tempered(model.card, maps)
        return
    whole = temper(model, pixels, turns)
    for first in range(0, whole.shape[1], ROWS):
        place = (slice(first, first + ROWS),)
        yield place, whole[(slice(None), *place)]


def _tempered(card: Card, maps: np.ndarray) -> np.ndarray:
    """Return the calibrated probability of every class from a network's maps."""
    heat = np.float32(1 / float(card.post.get("temperature", 1.0)))
    return probabilities(maps[: len(map_names(card.classes))] * heat)


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return a view of (C, ..., M, N) turned by quarters in the plane, and mirrored from the fifth copy on."""
    quarters = (0, 2, 1, 3)[turn % 4]  # halves first: they keep the shape
    out = np.rot90(pixels, quarters, axes=(-2, -1))
    return out[..., ::-1] if turn >= 4 else out


def _by(sides: Sequence[int]) -> str:
    return " × ".join(map(str, sides))


def map_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Return the names of a network's maps: one stands for two classes."""
    return tuple(classes) if len(classes) > 2 else tuple(classes[1:])


def probabilities(maps: np.ndarray) -> np.ndarray:
    """Return the probability of every class (K, *S) from logits (M, *S).

    Examples
    --------
    >>> probabilities(np.zeros((1, 1, 1))).ravel().tolist()
    [0.5, 0.5]
    """
    if len(maps) == 1:
        maps = np.clip(maps, -80, 80)
        return np.concatenate([1 / (1 + np.exp(maps)), 1 / (1 + np.exp(-maps))])
    raised = np.exp(maps - maps.max(axis=0))
    return raised / raised.sum(axis=0)


def entropy_of(probability: np.ndarray) -> np.ndarray:
    """Return the entropy of probabilities (K, *S) in nats.

    Examples
    --------
    >>> entropy_of(np.array([[0.5, 1.0], [0.5, 0.0]])).round(3)
    array([0.693, 0.   ])
    """
    return np.abs((probability * np.log(np.maximum(probability, 1e-12))).sum(axis=0))
