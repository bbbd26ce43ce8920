"""U-Net, in two and in three dimensions, and the small one for spots in neutron images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segmetry.errors import OptionError
from segmetry.nets.blocks import NORMS, conv_pair, repeat
from segmetry.nets.encoders import PLAIN, EncoderOptions, PlainEncoder, build_encoder
from segmetry.nets.segmenter import Segmenter
from segmetry.options import Options, option


@dataclass(frozen=True, kw_only=True)
class PlainUNetOptions(Options):
    """Options of a U-Net of plain levels."""

    depth: int = option(3, "times that the image is halved", low=1, high=6)
    width: int = option(16, "channels at full resolution; twice as many at each halving", low=1)
    kernel: int = option(3, "side of the kernels: 3, 5 or 7", low=3, high=7)
    norm: str = option("batch", "normalisation", choices=NORMS)
    rate: float = option(0.0, "share of channels dropped at the deepest features and before the head", low=0, high=0.9)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_kernel(self.name, self.kernel)


@dataclass(frozen=True, kw_only=True)
class UNet3DOptions(PlainUNetOptions):
    """Options of the 3D U-Net."""

    name = "unet3d"


@dataclass(frozen=True, kw_only=True)
class SpotUNetOptions(PlainUNetOptions):
    """Options of the spot U-Net; the defaults are as published."""

    name = "spot-unet"
    depth: int = option(2, "times that the image is halved", low=1, high=6)
    width: int = option(24, "channels at full resolution; twice as many at each halving", low=1)
    norm: str = option("none", "normalisation", choices=NORMS)


@dataclass(frozen=True, kw_only=True)
class UNetOptions(EncoderOptions):
    """Options of the U-Net."""

    name = "unet"
    kernel: int = option(3, "side of the kernels, but of a library's encoder: 3, 5 or 7", low=3, high=7)
    norm: str = option("batch", "normalisation, but of a library's encoder", choices=NORMS)

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_kernel(self.name, self.kernel)


class UNetDecoder(nn.Module):
    """Back to full resolution: repeat pixels, join the encoder's features of that resolution, two convolutions.

    Parameters
    ----------
    widths, strides : sequence of int
        Of the encoder's features, the finest first.
    width : int
        Channels at full resolution; at stride s there are s times as many.
    size, norm, n_axes
        As of `PlainEncoder`.
    """

    stride = 1

    def __init__(
        self,
        widths: Sequence[int],
        strides: Sequence[int],
        width: int,
        *,
        size: int = 3,
        norm: str = "batch",
        n_axes: int = 2,
    ) -> None:
        super().__init__()
        self.width = width
        skips = dict(zip(strides, widths, strict=True))
        n_levels = max(strides).bit_length() - 1
        self.joins = [2**i in skips for i in reversed(range(n_levels))]
        self.levels = nn.ModuleList()
        n_in = widths[-1]
        for i in reversed(range(n_levels)):
            self.levels.append(conv_pair(n_in + skips.get(2**i, 0), width * 2**i, size, norm=norm, n_axes=n_axes))
            n_in = width * 2**i

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return (B, width, H, W) of features, the deepest last."""
        *skips, x = features
        for level, join in zip(self.levels, self.joins, strict=True):
            x = repeat(x)
            x = level(torch.cat([x, skips.pop()], dim=1) if join else x)
        return x


def build_unet(channels: int, maps: Sequence[str], options: UNetOptions) -> nn.Module:
    """Return a U-Net.

    References
    ----------
    Ronneberger, Fischer & Brox, MICCAI 2015, doi:10.1007/978-3-319-24574-4_28. What differs: images keep their size
    (padded convolutions), pixels are repeated where theirs are convolved on the way up, there is a normalisation.
    """
    o = options
    encoder: Any
    if o.encoder == PLAIN:
        encoder = PlainEncoder(channels, o.levels(), o.width, size=o.kernel, norm=o.norm)
    else:
        encoder = build_encoder(o.encoder, channels, o.levels(), o.width)
    decoder = UNetDecoder(encoder.widths, encoder.strides, o.width, size=o.kernel, norm=o.norm)
    return Segmenter(encoder, decoder, maps, rate=o.rate)


def build_plain_unet(channels: int, maps: Sequence[str], options: PlainUNetOptions, *, n_axes: int = 2) -> nn.Module:
    """Return a U-Net of plain levels for images or volumes.

    References
    ----------
    2D: the U-Net for spots in neutron images of A. Kaestner's lecture "Segmenting neutron images using machine
    learning" (PSI 2021). 3D: Çiçek et al., MICCAI 2016, doi:10.1007/978-3-319-46723-8_49; what differs: as in
    `build_unet`, and the first convolution of a pair has as many channels as the second.
    """
    o = options
    encoder = PlainEncoder(channels, o.depth, o.width, size=o.kernel, norm=o.norm, n_axes=n_axes)
    decoder = UNetDecoder(encoder.widths, encoder.strides, o.width, size=o.kernel, norm=o.norm, n_axes=n_axes)
    return Segmenter(encoder, decoder, maps, rate=o.rate, n_axes=n_axes)


def build_unet3d(channels: int, maps: Sequence[str], options: PlainUNetOptions) -> nn.Module:
    """Return a 3D U-Net; see `build_plain_unet`."""
    return build_plain_unet(channels, maps, options, n_axes=3)


def _check_kernel(name: str, kernel: int) -> None:
    if kernel % 2 == 0:
        raise OptionError(f"{name}: kernel is 3, 5 or 7, got {kernel}.")
