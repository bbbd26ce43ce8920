"""Training of networks that give every pixel a class: what a sample is, its loss, and how good the network is."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.io.card import Card
from segmetry.nets.export import receptive_radius
from segmetry.nets.table import build_network
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import Model, by_window
from segmetry.segment.network import map_names, probabilities
from segmetry.train.augment import IGNORED
from segmetry.train.class_scores import judge_classes, pool, scores
from segmetry.train.looks import shown, small
from segmetry.train.losses import Loss
from segmetry.train.samples import Labelled, MakeMap, Samples
from segmetry.train.weight_maps import IGNORE, WEIGHT_MAPS, distance_target


class ClassTask:
    """Labelled images to a network of the table.

    Parameters
    ----------
    samples : Samples
        Of the training images.
    held_out : sequence of Labelled
        Images that every check judges.
    classes : sequence of str
        Names of the classes, the first being class 0.
    network : str
        Name in `segmetry.nets.table.NETWORKS`.
    options : mapping
        Options of the network.
    loss : Loss
    class_weight : sequence of float, optional
        One for each class.
    pixel_weight : mapping, optional
        Name in `WEIGHT_MAPS` to its own options.
    start : mapping of str to tensor, optional
        Weights to begin with, by name; the others are random.
    """

    def __init__(
        self,
        samples: Samples,
        held_out: Sequence[Labelled],
        classes: Sequence[str],
        *,
        network: str,
        loss: Loss,
        options: Mapping[str, Any] | None = None,
        class_weight: Sequence[float] | None = None,
        pixel_weight: Mapping[str, Mapping[str, float]] | None = None,
        start: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.held_out, self.classes = list(held_out), tuple(classes)
        self.network, self.options, self.loss_of = network, dict(options or {}), loss
        self.class_weight = None if class_weight is None else torch.tensor(class_weight, dtype=torch.float32)
        self.pixel_weight = {name: dict(own) for name, own in (pixel_weight or {}).items()}
        maps: dict[str, MakeMap] = {"weight": self._weigh} if self.pixel_weight else {}
        if loss.needs_distance:
            maps["distance"] = _distances
        self.samples = samples.with_maps(maps)
        self.start = dict(start or {})
        self.maps = map_names(self.classes) + (("distance",) if loss.needs_distance else ())
        self.channels = len(samples.normalisation.mean) + 2 * samples.options.coordinates
        built = self.build()
        self.dropout: tuple[tuple[int, float], ...] = built.dropout
        self.card = Card(
            name=network,
            version="0",
            task="classes",
            maps=self.maps,
            stride=1,
            multiple=built.multiple,
            receptive_radius=receptive_radius(built, channels=self.channels, n_axes=built.n_axes),
            dropout=self.dropout,
            axes="YX" if built.n_axes == 2 else "ZYX",
            channels=self.channels,
            normalisation=samples.normalisation.as_dict(coordinates=samples.options.coordinates),
            classes=self.classes,
        )

    def build(self) -> Any:
        """Return a fresh network, with the weights to begin with."""
        network = build_network(self.network, channels=self.channels, maps=self.maps, options=self.options)
        network.load_state_dict(network.state_dict() | self.start)
        return network

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`: image, target, dropout mask, and what the loss wants besides."""
        image, classes, maps = self.samples.draw(number)
        rng = np.random.default_rng([self.samples.seed, 3, number])
        keep = draw_keep(self.dropout, 1, int(rng.integers(2**63)))[0]
        return {"image": image, "target": as_target(classes), "keep": keep} | maps

    def _weigh(self, classes: np.ndarray) -> np.ndarray:
        """Return the weight of each pixel of a map of classes."""
        target = as_target(classes)
        return np.prod([WEIGHT_MAPS[name].compute(target, **own) for name, own in self.pixel_weight.items()], axis=0)

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts."""
        image = batch["image"]
        if image.ndim == 4:
            image = image.contiguous(memory_format=torch.channels_last)
        weight = None if self.class_weight is None else self.class_weight.to(image.device)
        found = self.loss_of(
            network(image, batch["keep"]),
            batch["target"],
            weight=batch.get("weight"),
            class_weight=weight,
            distance=batch.get("distance"),
        )
        return found.total, found.parts

    def check(self, network: nn.Module, device: torch.device) -> dict[str, Any]:
        """Return the scores of a network on the images held out; ``score`` is the mean IoU, ``looks`` what it found in
        some.
        """
        if not self.held_out:
            return {}
        judged, losses, looks = [], [], {}
        look_at = shown(self.held_out)
        for image in self.held_out:
            maps = self.predict(network, device, image.pixels)
            target = as_target(np.asarray(image.classes))
            losses.append(self._loss_of_image(maps, target))
            probability = probabilities(maps[: len(map_names(self.classes))])
            judged.append(judge_classes(target, probability, self.classes, ignored=target == IGNORE))
            if image in look_at:
                looks[image.name] = small(probability.argmax(axis=0).astype(np.uint8), image)
        found = scores(pool(judged))
        told = {"loss": round(float(np.mean(losses)), 5)} | found | {"score": found.get("mean_iou", 0.0)}
        return told | {"looks": looks}

    def _loss_of_image(self, maps: np.ndarray, target: np.ndarray) -> float:
        distance = torch.from_numpy(distance_target(target))[None] if self.loss_of.needs_distance else None
        given = torch.from_numpy(maps)[None], torch.from_numpy(target)[None]
        return float(self.loss_of(*given, class_weight=self.class_weight, distance=distance).total)

    def predict(self, network: nn.Module, device: torch.device, pixels: Any) -> np.ndarray:
        """Return the maps (M, *S) of an image (C, *S) as it was read, in exact tiles where it is large.

        Pixels that stay on the disk are read tile by tile.
        """

        def run(part: np.ndarray, keep: np.ndarray) -> Iterator[np.ndarray]:
            with torch.inference_mode():
                given = torch.from_numpy(part).to(device), torch.from_numpy(keep).to(device)
                yield from network(*given).float().cpu().numpy()

        return Model(self.card, Path(), "torch", run).maps(by_window(self.card, pixels))


def _distances(classes: np.ndarray) -> np.ndarray:
    return distance_target(as_target(classes))


def as_target(classes: np.ndarray) -> np.ndarray:
    """Return classes of 8 bits as losses want them: int64, `IGNORE` where nobody labelled."""
    return np.where(classes == IGNORED, IGNORE, classes.astype(np.int64))
