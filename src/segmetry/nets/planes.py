"""A 2D network run over the planes of a volume along each of its three axes, and merged."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn


class AlongAxes(nn.Module):
    """A 3D network made of a trained 2D one: every voxel lies in three planes, and gets the mean of their logits.

    Parameters
    ----------
    net : module
        2D network for classes, at full resolution. It is used, not copied.

    Notes
    -----
    For prediction: the 2D network is trained on planes, and this is exported in its place. The mean of logits is, for
    probabilities, the geometric mean of the three, made to add up to one. A dropout mask is the same for all planes.
    """

    stride, n_axes = 1, 3

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net: Any = net
        self.maps, self.multiple, self.dropout = self.net.maps, self.net.multiple, self.net.dropout

    def forward(self, volume: Tensor, keep: Tensor) -> Tensor:
        """Return logits (B, M, P, H, W) of volumes (B, C, P, H, W) under dropout masks (B or 1, K)."""
        if self.dropout:
            # One mask for each plane: as many volumes as masks, or the reverse.
            n = (volume[:, 0, 0, 0, 0] + keep[:, 0]).shape[0]
            volume, keep = volume.expand(n, -1, -1, -1, -1), keep.expand(n, -1)
        total = torch.zeros(())
        for axis in (2, 3, 4):
            planes = volume.movedim(axis, 1)  # (B, planes, C, H, W)
            batch = planes.flatten(0, 1)
            masks = keep.repeat_interleave(planes.shape[1], dim=0) if self.dropout else keep
            maps = self.net(batch, masks)
            maps = maps.reshape(volume.shape[0], planes.shape[1], *maps.shape[1:]).movedim(1, axis)
            total = maps if axis == 2 else total + maps
        return total / 3
