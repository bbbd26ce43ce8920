"""FPN: coarse features, passed down to finer ones; the levels are brought to stride 4 and added."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from segmetry.errors import OptionError
from segmetry.nets.blocks import conv_norm, enlarge, repeat
from segmetry.nets.encoders import EncoderOptions, build_encoder
from segmetry.nets.segmenter import Segmenter
from segmetry.options import option


@dataclass(frozen=True, kw_only=True)
class FPNOptions(EncoderOptions):
    """Options of the FPN."""

    name = "fpn"
    decoder: int = option(256, "channels of the pyramid; half as many where its levels are added", low=2)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.levels() < 2:
            raise OptionError(f"{self.name}: depth must be at least 2, got {self.depth}.")


class Climb(nn.Module):
    """From a level of the pyramid to stride 4: convolutions, each followed by twice the resolution."""

    def __init__(self, n_in: int, n_out: int, n_doublings: int) -> None:
        super().__init__()
        self.steps = nn.ModuleList(conv_norm(n_in if i == 0 else n_out, n_out) for i in range(max(n_doublings, 1)))
        self.factor = 2 if n_doublings else 1

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, H', W') at stride 4."""
        for step in self.steps:
            x = enlarge(step(x), self.factor)
        return x


class PyramidSumDecoder(nn.Module):
    """The feature pyramid from stride 4 on, and the branch that adds its levels."""

    stride = 4

    def __init__(self, widths: Sequence[int], strides: Sequence[int], pyramid: int) -> None:
        super().__init__()
        self.width = pyramid // 2
        levels = [(w, s) for w, s in zip(widths, strides, strict=True) if s >= 4]
        self.n_levels = len(levels)
        self.sides = nn.ModuleList(nn.Conv2d(w, pyramid, 1) for w, _ in levels)
        self.climbs = nn.ModuleList(Climb(pyramid, self.width, (s // 4).bit_length() - 1) for _, s in levels)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H/4, W/4) of features, the deepest last."""
        *finer, x = (side(f) for side, f in zip(self.sides, features[-self.n_levels :], strict=True))
        climbs = list(self.climbs)
        total = climbs.pop()(x)
        while climbs:
            x = finer.pop() + repeat(x)
            total = total + climbs.pop()(x)
        return total


def build_fpn(channels: int, maps: Sequence[str], options: FPNOptions) -> nn.Module:
    """Return a feature pyramid network for classes.

    References
    ----------
    Lin et al., CVPR 2017, doi:10.1109/CVPR.2017.106 (the pyramid); Kirillov et al., CVPR 2019,
    doi:10.1109/CVPR.2019.00656 (the branch for classes). What differs: batch norm for group norm, so that a pixel sees
    a part of the image only, and tiles are exact; no convolution on the pyramid's levels before the branch.
    """
    o = options
    encoder: Any = build_encoder(o.encoder, channels, o.levels(), o.width)
    return Segmenter(encoder, PyramidSumDecoder(encoder.widths, encoder.strides, o.decoder), maps, rate=o.rate)
