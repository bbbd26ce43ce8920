"""Training of BPartIS: what a sample is, its loss, and the published way to fit it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.nets.bpartis import BPartIS
from segmetry.train.bpartis_data import PublishedSamples, Sample, squeeze_example
from segmetry.train.bpartis_loss import bpartis_loss
from segmetry.train.data import Example
from segmetry.train.parts import full_keep, mean_loss, random_keep

N_CHECKS = 16
"""Images of the held-out part whose loss is told."""


class BPartISTask:
    """Labelled micrographs at 512 x 512 to the published network.

    Parameters
    ----------
    training, held_out : sequence of Example
        Images to train on, and those whose loss the log tells.
    seed : int
        Of the samples.
    """

    def __init__(self, training: Sequence[Example], held_out: Sequence[Example] = (), *, seed: int = 0) -> None:
        self.samples = PublishedSamples(training, seed=seed)
        some = np.linspace(0, len(held_out) - 1, min(N_CHECKS, len(held_out))).astype(int)
        self.held_out = [squeeze_example(held_out[i]) for i in some]

    def build(self) -> BPartIS:
        """Return a fresh network."""
        return BPartIS()

    @cached_property
    def _dropout(self) -> tuple[tuple[int, float], ...]:
        return self.build().dropout

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`: image of three equal channels, mask of dropout, labels."""
        sample, rng = self.samples.draw(number)
        return _arrays(sample) | {"keep": random_keep(self._dropout, rng)}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts."""
        image = batch["image"].to(memory_format=torch.channels_last)
        found = bpartis_loss(network(image, batch["keep"]), batch["labels"])
        return found.total, found._asdict()

    def check(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the loss and its parts on images that are held out, whole and without dropout."""
        keep = full_keep(self._dropout)
        return mean_loss(self, network, (_arrays(sample) | {"keep": keep} for sample in self.held_out), device)


def _arrays(sample: Sample) -> dict[str, np.ndarray]:
    grey = sample.grey.astype(np.float32) / np.float32(255)
    return {"image": np.stack([grey] * 3), "labels": sample.labels}
