"""The network behind `particles`: a residual U-Net at half resolution; every pixel points to its particle's centre."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from segmetry.nets.half_trunk import ascent, descent, go_down, go_up, places

REACH = 32.0
"""Offsets of order one at the head are so many output pixels: the scale on which the optimiser works."""


class ParticleNet(nn.Module):
    """Residual U-Net with a stride-2 stem; its maps have half the resolution of the image.

    Parameters
    ----------
    widths : sequence of int
        Channels at strides 2, 4, 8, ...; multiples of 16 run fastest on CPUs.
    rate : float
        Dropout of whole channels at the two coarsest levels.

    Notes
    -----
    Maps, in order: offset to the particle's centre (row, column; output pixels), logarithm of the radius of attraction
    (output pixels), and the logit of the seed map: how well the pixel's own pointing stands for its particle.
    Skips are added, not joined: half the arithmetic at the finest level, where most of it is.
    """

    stride = 2
    maps = ("offset-0", "offset-1", "log_sigma", "seed")

    def __init__(self, widths: Sequence[int] = (16, 32, 80, 160, 224), rate: float = 0.15) -> None:
        super().__init__()
        self.widths, self.multiple = tuple(widths), 2 ** len(widths)
        self.stem, self.down, self.encoder, self.bottom = descent(1, widths, rate)
        self.up, self.decoder = ascent(widths, rate)
        self.head = nn.Conv2d(widths[0], len(self.maps), 1)
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor([0.0, 0.0, 1.5, -2.0]))

    @property
    def dropout(self) -> tuple[tuple[int, float], ...]:
        """Channels and rate of every place of dropout, in the order of the mask."""
        return places([*self.encoder, self.bottom, *reversed(self.decoder)])

    def forward(self, image: Tensor, keep: Tensor) -> Tensor:
        """Return the maps (B, 4, H/2, W/2) of images (B, 1, H, W) under dropout masks (B, K)."""
        masks = iter(keep.split([width for width, _ in self.dropout], dim=1))
        features = go_down((self.stem, self.down, self.encoder, self.bottom), image, masks)
        x = go_up((self.up, self.decoder), features, masks)
        offset, rest = self.head(x).split([2, len(self.maps) - 2], dim=1)
        return torch.cat([REACH * offset, rest], dim=1)
