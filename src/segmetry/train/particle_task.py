"""Training of the network behind `particles`: what a sample is, and its loss."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.nets.particle_net import ParticleNet
from segmetry.train.crops import Crops
from segmetry.train.parts import full_keep, mean_loss, random_keep
from segmetry.train.pointing_loss import make_targets, pointing_loss

N_CHECKS = 64


class ParticleTask:
    """Crops of labelled micrographs to a network that points to particle centres.

    Parameters
    ----------
    crops : Crops
        Training crops.
    held_out : Crops or None
        Crops of images that are not trained on, for the loss that the log tells.
    widths, rate
        Of `ParticleNet`.
    """

    def __init__(
        self, crops: Crops, held_out: Crops | None = None, *, widths: Sequence[int] | None = None, rate: float = 0.15
    ) -> None:
        self.crops, self.held_out, self.rate = crops, held_out, rate
        self.widths = tuple(widths) if widths else None

    def build(self) -> ParticleNet:
        """Return a fresh network."""
        return ParticleNet(self.widths, self.rate) if self.widths else ParticleNet(rate=self.rate)

    @cached_property
    def _dropout(self) -> tuple[tuple[int, float], ...]:
        return self.build().dropout

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`: image, mask of dropout, targets."""
        image, labels, rng = self.crops.draw(number)
        targets = make_targets(labels, rng)
        return {"image": image[None], "keep": random_keep(self._dropout, rng)} | targets._asdict()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts."""
        image = batch["image"].to(memory_format=torch.channels_last)
        found = pointing_loss(network(image, batch["keep"]), batch["labels"], batch["boxes"], batch["weight"])
        return found.total, found._asdict()

    def check(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the loss and its parts on crops that are held out."""
        return mean_loss(self, network, self._checks(), device)

    def _checks(self) -> Iterator[dict[str, np.ndarray]]:
        if self.held_out is None:
            return
        for number in range(N_CHECKS):
            image, labels, rng = self.held_out.draw(number)
            yield {"image": image[None], "keep": full_keep(self._dropout)} | make_targets(labels, rng)._asdict()
