"""The loss of BPartIS: a Lovász hinge over all pixels for each particle, the spread of its sigma, and the seed map."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from segmetry.train.losses.lovasz import lovasz_hinge

SPREAD_WEIGHT = 10.0
FOREGROUND_WEIGHT = 10.0
SHARPNESS = 10.0
"""``exp(SHARPNESS sigma)`` multiplies squared distances, which are in widths and heights of the image."""


class BPartISLoss(NamedTuple):
    """Parts of the loss: membership of particles, spread of sigma within one, seed map."""

    instance: Tensor
    spread: Tensor
    seed: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.instance + SPREAD_WEIGHT * self.spread + self.seed


def bpartis_loss(maps: Tensor, labels: Tensor) -> BPartISLoss:
    """Return the loss of a batch of raw maps, the mean over its images.

    Parameters
    ----------
    maps : (B, 5, M, N) tensor
        Offset (x, y), sigma (x, y), seed logit; see `segmetry.nets.bpartis`.
    labels : (B, M, N) integer tensor
        0 background; every other number is a particle.

    Notes
    -----
    A pixel at x, y in [0, 1] has the embedding ``e = tanh(offset) + (x, y)``. A particle k with mean embedding ``c``
    and mean sigma ``s`` takes it with ``phi = exp(-sum_j (e_j - c_j)^2 exp(10 s_j))``. Its hinge has the logits
    ``2 phi - 1`` of all pixels of the image; the seed map learns ``phi`` of the own particle, with ten times the
    weight, and 0 elsewhere. An image without particles has the seed map's part only.

    Pixels outside of a particle with ``phi`` below the resolution of the number type are left out of its hinge: the
    hinge is zero to within rounding there, and most of the image is such.

    References
    ----------
    Yildirim and Cole, J. Chem. Inf. Model. 2021, 10.1021/acs.jcim.0c01455, and the code published with it for the
    factors 10 in the membership and of the foreground; Neven et al., CVPR 2019, 10.1109/CVPR.2019.00904.
    """
    each = [_image_loss(m, image_labels) for m, image_labels in zip(maps, labels, strict=True)]
    return BPartISLoss(*(torch.stack(parts).mean() for parts in zip(*each, strict=True)))


def _image_loss(maps: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return the three parts for maps (5, M, N) and labels (M, N)."""
    maps = maps if maps.dtype == torch.float64 else maps.float()
    height, width = labels.shape
    x = torch.linspace(0, 1, width, dtype=maps.dtype, device=maps.device).expand(height, width)
    y = torch.linspace(0, 1, height, dtype=maps.dtype, device=maps.device)[:, None].expand(height, width)
    embedding = (torch.tanh(maps[:2]) + torch.stack([x, y])).flatten(1)  # (2, P)
    sigma, seed = maps[2:4].flatten(1), torch.sigmoid(maps[4]).flatten()
    flat = labels.flatten()
    zero = maps.sum() * 0
    instance, spread = zero, zero
    foreground = zero
    ordered, order = flat.sort(stable=True)
    numbers, counts = ordered.unique_consecutive(return_counts=True)
    particles = [(k, own) for k, own in zip(numbers.tolist(), order.split(counts.tolist()), strict=True) if k != 0]
    for k, own in particles:
        own_sigma = sigma[:, own]
        s = own_sigma.mean(1, keepdim=True)
        centre = embedding[:, own].mean(1, keepdim=True)
        spread = spread + (own_sigma - s.detach()).square().mean()
        scale = torch.exp(SHARPNESS * s)
        with torch.no_grad():
            distance = _distance(embedding, centre, scale)
            near = distance < -math.log(torch.finfo(maps.dtype).eps)
            near[own] = True
            mine = flat == k
        # A crowded image whose sigmas are still wide has most pixels near each of its particles, and what the slopes
        # need of all particles together would take tens of gigabytes: it is made again when it is needed.
        instance = instance + checkpoint(
            _hinge, embedding, centre, scale, near, mine, use_reentrant=False, preserve_rng_state=False
        )
        foreground = foreground + (seed[own] - torch.exp(-distance[own])).square().sum()
    n = max(len(particles), 1)
    background = (seed.square() * (flat == 0)).sum()
    return instance / n, spread / n, (background + FOREGROUND_WEIGHT * foreground) / flat.numel()


def _hinge(embedding: Tensor, centre: Tensor, scale: Tensor, near: Tensor, mine: Tensor) -> Tensor:
    """Return the hinge of a particle with the pixels `mine` (P,), of the pixels `near` (P,) alone."""
    index = near.nonzero().squeeze(1)
    phi = torch.exp(-_distance(embedding[:, index], centre, scale))
    member = mine[index][None]
    return lovasz_hinge(2 * phi[None] - 1, member, torch.ones_like(member))[0]


def _distance(embedding: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Return the squared distances (P,) of embeddings (2, P), each axis in its own unit; phi is ``exp`` of minus it."""
    x, y = embedding - centre
    return x.square() * scale[0] + y.square() * scale[1]
