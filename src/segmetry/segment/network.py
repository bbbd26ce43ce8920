"""The method `network`: a trained network that gives every pixel a class, in exact tiles."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from segmetry.errors import ImageError, OptionError, ReadError
from segmetry.segment.dropout import draw_keep, no_dropout
from segmetry.segment.engine import Model, load_model, normalise
from segmetry.segment.methods import Method, Scene, option
from segmetry.segment.network_input import unlike_greys, unlike_pixels
from segmetry.types import Segmentation


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

    def run(self, scene: Scene) -> Segmentation:
        """Return the classes of a scene."""
        model = self._loaded()
        card = model.card
        if len(card.axes) != scene.pixels.ndim:
            raise ImageError(f"the model {self.model} takes {len(card.axes)}D images, got {scene.pixels.ndim}D.")
        pixels = normalise(card, scene.pixels, scene.valid)
        probability = temper(model, pixels, self.turns)
        labels = _labels(probability, scene.valid)
        entropy = entropy_of(probability)
        samples: list[np.ndarray] = []
        epistemic = None
        if self.samples:
            total, expected = np.zeros_like(probability), np.zeros_like(entropy)
            for keep in draw_keep(card.dropout, self.samples, self.seed):
                one = temper(model, pixels, 1, keep)
                samples.append(_labels(one, scene.valid))
                total += one
                expected += entropy_of(one)
            entropy = entropy_of(total / self.samples)
            if self.samples > 1:  # one disagrees with none
                epistemic = np.maximum(entropy - expected / self.samples, 0)
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
            probability=probability[1] if len(card.classes) == 2 else probability.max(axis=0),
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


def temper(model: Model, pixels: np.ndarray, turns: int, keep: np.ndarray | None = None) -> np.ndarray:
    """Return the calibrated probability of every class (K, *S), the mean over turned and mirrored copies."""
    heat = np.float32(1 / float(model.card.post.get("temperature", 1.0)))
    n = len(map_names(model.card.classes))
    total: Any = 0
    for turn in range(turns):
        maps = _unturned(model.maps(_turned(pixels, turn), keep)[:n], turn)
        total = total + probabilities(maps * heat)
    return np.asarray(total / turns, np.float32)


def _turned(pixels: np.ndarray, turn: int) -> np.ndarray:
    """Return channels (C, ..., M, N) turned by quarters in the plane, and mirrored from the fifth copy on."""
    quarters = (0, 2, 1, 3)[turn % 4]  # halves first: they keep the shape
    out = np.rot90(pixels, quarters, axes=(-2, -1))
    return np.ascontiguousarray(out[..., ::-1] if turn >= 4 else out)


def _unturned(maps: np.ndarray, turn: int) -> np.ndarray:
    out = maps[..., ::-1] if turn >= 4 else maps
    return np.rot90(out, -(0, 2, 1, 3)[turn % 4], axes=(-2, -1))


def _labels(probability: np.ndarray, valid: np.ndarray | None) -> np.ndarray:
    labels = probability.argmax(axis=0).astype(np.int32)
    if valid is not None:
        labels[~valid] = 0
    return labels


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
