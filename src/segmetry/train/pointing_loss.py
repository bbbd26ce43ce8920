"""The loss of networks that point pixels to their particle's centre: one Lovász hinge per particle, in a window."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from segmetry.train.losses.lovasz import lovasz_hinge

WINDOWS = (16, 32, 64, 128)
"""Sides of the windows in which a particle's loss is computed; a particle gets the smallest that holds it."""

MARGIN = 0.5
"""Width of the surroundings in a window, as a share of the particle's longer side; at least `LEAST_MARGIN` px."""

LEAST_MARGIN = 4
OTHER = -2
IGNORED = -1


class Targets(NamedTuple):
    """What the loss needs to know of one map of labels.

    Parameters
    ----------
    labels : (M, N) int16 array
        0 background, 1..K particles that have a loss, `OTHER` for the rest, `IGNORED` where nothing is known.
    boxes : (n, 4) int32 array
        Row, column and side of each particle's window, and the particle's label; 0 in rows that are not used.
    weight : (M, N) float32 array
        Weight of each pixel in the seed loss: small particles count more per pixel.
    """

    labels: np.ndarray
    boxes: np.ndarray
    weight: np.ndarray


def make_targets(labels: np.ndarray, rng: np.random.Generator, *, most: int = 32, least: int = 3) -> Targets:
    """Return the targets of a map of labels (0 background, -1 unknown).

    Parameters
    ----------
    labels : (M, N) int array
        At the resolution of the network's maps.
    rng : Generator
        Chooses particles where there are more than `most`.
    most : int
        Particles with a loss.
    least : int
        Smallest area (px) of a particle with a loss.
    """
    height, width = labels.shape
    out = np.where(labels > 0, OTHER, labels).astype(np.int16)
    boxes = np.zeros((most, 4), np.int32)
    weight = np.where(labels == 0, 1.0, 0.0).astype(np.float32)
    ids, inverse = np.unique(labels, return_inverse=True)
    inverse = inverse.reshape(labels.shape)
    area = np.bincount(inverse.ravel(), minlength=ids.size)
    usable = np.flatnonzero((ids > 0) & (area >= least))
    chosen = rng.permutation(usable)[:most]
    number = np.zeros(ids.size, np.int16)
    number[chosen] = np.arange(1, chosen.size + 1)
    mine = number[inverse]
    out[mine > 0] = mine[mine > 0]
    per_pixel = np.zeros(chosen.size + 1, np.float32)
    per_pixel[1:] = np.clip(np.sqrt(400 / area[chosen]), 0.5, 4.0)
    weight += per_pixel[mine]
    if chosen.size:
        rows, cols = np.nonzero(mine)
        which = mine[rows, cols] - 1
        low, high = np.full((chosen.size, 2), 1 << 20), np.full((chosen.size, 2), -1)
        for axis, place in enumerate((rows, cols)):
            np.minimum.at(low[:, axis], which, place)
            np.maximum.at(high[:, axis], which, place)
        longer = (high - low + 1).max(axis=1)
        side = longer + 2 * np.maximum(LEAST_MARGIN, np.ceil(MARGIN * longer)).astype(int)
        largest = min(height, width)
        choices = np.array([w for w in WINDOWS if w < largest] + [largest])
        side = choices[np.minimum(np.searchsorted(choices, side), choices.size - 1)]
        start = np.round((low + high + 1) / 2 - side[:, None] / 2).astype(int)
        start = np.clip(start, 0, np.array([height, width]) - side[:, None])
        boxes[: chosen.size] = np.column_stack([start, side, np.arange(1, chosen.size + 1)])
    return Targets(out, boxes, weight)


class PointingLoss(NamedTuple):
    """Parts of the loss: membership of particles, spread of the radius within one, seed map."""

    instance: Tensor
    spread: Tensor
    seed: Tensor

    @property
    def total(self) -> Tensor:
        """What is minimised."""
        return self.instance + self.spread + self.seed


def pointing_loss(maps: Tensor, labels: Tensor, boxes: Tensor, weight: Tensor) -> PointingLoss:
    """Return the loss of a batch of maps.

    Parameters
    ----------
    maps : (B, 4, M, N) tensor
        Offset (row, column), log radius, seed logit; see `segmetry.nets.particle_net`.
    labels : (B, M, N) integer tensor
    boxes : (B, n, 4) integer tensor
    weight : (B, M, N) tensor
        Stacked `Targets`.

    Notes
    -----
    A particle k with mean embedding ``c`` and mean log radius ``s`` takes a pixel at embedding ``e`` (its place plus
    its offset) with membership ``phi = exp(-|e - c|^2 / (2 exp(2 s)))``. Its loss is the Lovász hinge of
    ``2 phi - 1`` over its window; the seed map learns ``phi`` of the own particle, and 0 on the background. All
    particles of a batch weigh the same.
    """
    n_batch, _, height, width = maps.shape
    maps = maps.float()
    device = maps.device
    rows = torch.arange(height, device=device, dtype=torch.float32)[:, None].expand(height, width)
    cols = torch.arange(width, device=device, dtype=torch.float32)[None].expand(height, width)
    place = torch.stack([rows, cols])[None]
    flat = torch.cat([maps[:, :2] + place, maps[:, 2:3]], dim=1).permute(0, 2, 3, 1).reshape(-1, 3)
    flat_labels = labels.reshape(-1)
    target = torch.zeros(n_batch * height * width, device=device)
    instance, spread = [], []
    batch_of = torch.arange(n_batch, device=device)[:, None].expand(boxes.shape[:2])
    for side in boxes[..., 2].unique().tolist():
        if side == 0:
            continue
        pick = boxes[..., 2] == side
        b, box = batch_of[pick].long(), boxes[pick].long()
        steps = torch.arange(side, device=device)
        r, c = box[:, 0, None] + steps, box[:, 1, None] + steps
        index = ((b[:, None, None] * height + r[:, :, None]) * width + c[:, None, :]).reshape(len(b), -1)  # (n, S*S)
        value = flat.index_select(0, index.reshape(-1)).reshape(*index.shape, 3)
        label = flat_labels[index]
        member, known = label == box[:, 3, None], label != IGNORED
        share = member.float()
        count = share.sum(1).clamp(min=1)
        mean = (value * share[..., None]).sum(1) / count[:, None]  # (n, 3)
        square = (value[..., :2] - mean[:, None, :2]).square().sum(-1)
        phi = torch.exp(-0.5 * square * torch.exp(-2 * mean[:, 2:].clamp(-4, 6)))
        instance.append(lovasz_hinge(2 * phi - 1, member, known))
        spread.append(((value[..., 2] - mean[:, 2:].detach()).square() * share).sum(1) / count)
        inside = member.reshape(-1)
        target[index.reshape(-1)[inside]] = phi.detach().reshape(-1)[inside]
    zero = flat.sum() * 0
    seed_logit = maps[:, 3].reshape(-1)
    weight = weight.reshape(-1)
    seed = functional.binary_cross_entropy_with_logits(seed_logit, target, reduction="none")
    return PointingLoss(
        torch.cat(instance).mean() if instance else zero,
        torch.cat(spread).mean() if spread else zero,
        (seed * weight).sum() / weight.sum().clamp(min=1),
    )
