"""Training of Mask R-CNN as an opponent: the samples of BPartIS, the losses of torchvision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.evaluate import average_precision
from segmetry.nets.mask_rcnn import build_mask_rcnn, find_particles
from segmetry.train.bpartis_data import PublishedSamples, squeeze_example
from segmetry.train.data import Example

N_CHECKS = 8
"""Images of the held-out part that the log tells the AP50 of."""


class MaskRcnnTask:
    """Labelled micrographs at 512 x 512 to torchvision's Mask R-CNN.

    Parameters
    ----------
    training, held_out : sequence of Example
        Images to train on, and those whose AP50 the log tells.
    seed : int
        Of the samples, which are those of BPartIS: both see the same images in the same order.

    Notes
    -----
    From random weights it wants a warm-up and clipped gradients (`FitOptions` has both by default): without them the
    loss of a single image rose at the first step of Adam at 3e-4, from 11 to 31, and exploded with SGD at 5e-3.
    """

    def __init__(self, training: Sequence[Example], held_out: Sequence[Example] = (), *, seed: int = 0) -> None:
        self.samples = PublishedSamples(training, seed=seed)
        some = np.linspace(0, len(held_out) - 1, min(N_CHECKS, len(held_out))).astype(int)
        self.held_out = [squeeze_example(held_out[i]) for i in some]

    def build(self) -> nn.Module:
        """Return a fresh network."""
        return build_mask_rcnn()

    def sample(self, number: int) -> dict[str, np.ndarray]:
        """Return training sample `number`: grey image in [0, 1], labels, and the number."""
        (grey, labels), _ = self.samples.draw(number)
        image = grey[None].astype(np.float32) / np.float32(255)
        return {"image": image, "labels": labels, "number": np.array(number)}

    def loss(self, network: nn.Module, batch: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the sum of the five losses of a batch (objectness, two of boxes, class, mask), and each."""
        # The network draws the proposals that it learns from: the same ones in a run that was stopped and goes on.
        torch.manual_seed(int(batch["number"][0]))
        parts = network(batch["image"], batch["labels"])
        return torch.stack(list(parts.values())).sum(), parts

    def check(self, network: nn.Module, device: torch.device) -> dict[str, float]:
        """Return the mean AP50 on images that are held out."""
        found = [find_particles(network, sample.grey).labels for sample in self.held_out]
        scores = [average_precision(s.labels, f, 0.5) for s, f in zip(self.held_out, found, strict=True)]
        return {"ap50": round(float(np.mean(scores)), 4)} if scores else {}
