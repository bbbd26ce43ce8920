"""Training of the network behind `particles`: what a sample is, and its loss."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.nets.particle_net import ParticleNet
from segmetry.train.crops import Crops
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
        return self._sample(self.crops, number, dropped=True)

    def _sample(self, crops: Crops, number: int, *, dropped: bool) -> dict[str, np.ndarray]:
        image, labels, rng = crops.draw(number)
        targets = make_targets(labels, rng)
        keep = [
            (rng.random(n) >= rate).astype(np.float32) / np.float32(1 - rate) if dropped else np.ones(n, np.float32)
            for n, rate in self._dropout
        ]
        return {"image": image[None], "keep": np.concatenate(keep)} | targets._asdict()

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of a batch and its parts."""
        image = batch["image"].to(memory_format=torch.channels_last)
        found = pointing_loss(network(image, batch["keep"]), batch["labels"], batch["boxes"], batch["weight"])
        return found.total, found._asdict()

    def check(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the loss and its parts on crops that are held out."""
        if self.held_out is None:
            return {}
        sums: dict[str, float] = {}
        with torch.inference_mode():
            for i in range(N_CHECKS):
                one = self._sample(self.held_out, i, dropped=False)
                total, parts = self.loss(network, {k: torch.from_numpy(v)[None].to(device) for k, v in one.items()})
                for name, value in (("loss", total), *parts.items()):
                    sums[name] = sums.get(name, 0.0) + float(value) / N_CHECKS
        return {k: round(v, 5) for k, v in sums.items()}
