"""A residual U-Net at half resolution: the trunk of the particle network, for classes; fast on CPUs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from segmetry.nets.blocks import enlarge, initialise
from segmetry.nets.half_trunk import ascent, descent, go_down, go_up, places
from segmetry.options import Options, option


@dataclass(frozen=True, kw_only=True)
class HalfUNetOptions(Options):
    """Options of the U-Net at half resolution."""

    name = "unet-half"
    width: int = option(16, "channels at stride 2; 2, 5, 10 and 14 times as many at strides 4 to 32", low=1)
    depth: int = option(5, "times that the image is halved", low=2, high=5)
    rate: float = option(0.0, "share of channels dropped at the two coarsest levels", low=0, high=0.9)

    @property
    def widths(self) -> tuple[int, ...]:
        """Channels at strides 2, 4, 8, ..."""
        return tuple(self.width * factor for factor in (1, 2, 5, 10, 14)[: self.depth])


class HalfEncoder(nn.Module):
    """Image to features at strides 2, 4, 8, ..."""

    def __init__(self, channels: int, widths: Sequence[int], rate: float) -> None:
        super().__init__()
        self.stem, self.down, self.blocks, self.bottom = descent(channels, widths, rate)

    def forward(self, image: Tensor, masks: Iterator[Tensor]) -> list[Tensor]:
        """Return features, the finest first."""
        return go_down((self.stem, self.down, self.blocks, self.bottom), image, masks)


class HalfDecoder(nn.Module):
    """Features to those of half the image's resolution."""

    def __init__(self, widths: Sequence[int], rate: float) -> None:
        super().__init__()
        self.up, self.blocks = ascent(widths, rate)

    def forward(self, features: Sequence[Tensor], masks: Iterator[Tensor]) -> Tensor:
        """Return (B, widths[0], H/2, W/2)."""
        return go_up((self.up, self.blocks), features, masks)


class HalfUNet(nn.Module):
    """Residual U-Net with a stride-2 stem; its maps are enlarged to full resolution, bilinearly.

    Parameters
    ----------
    channels : int
    maps : sequence of str
    widths : sequence of int
        Channels at strides 2, 4, 8, ...
    rate : float
        Dropout of whole channels in the blocks of the two coarsest levels.
    """

    stride, n_axes = 1, 2

    def __init__(self, channels: int, maps: Sequence[str], widths: Sequence[int], rate: float = 0.0) -> None:
        super().__init__()
        self.maps, self.multiple = tuple(maps), 2 ** len(widths)
        self.encoder, self.decoder = HalfEncoder(channels, widths, rate), HalfDecoder(widths, rate)
        self.head = nn.Conv2d(widths[0], len(self.maps), 1)
        initialise(self)

    @property
    def dropout(self) -> tuple[tuple[int, float], ...]:
        """Channels and rate of every place of dropout, in the order of the mask."""
        return places([*self.encoder.blocks, self.encoder.bottom, *reversed(self.decoder.blocks)])

    def forward(self, image: Tensor, keep: Tensor) -> Tensor:
        """Return logits (B, M, H, W) of images (B, C, H, W) under dropout masks (B or 1, K)."""
        masks = iter(keep.split([width for width, _ in self.dropout], dim=1) if self.dropout else ())
        return enlarge(self.head(self.decoder(self.encoder(image, masks), masks)), 2)


def build_unet_half(channels: int, maps: Sequence[str], options: HalfUNetOptions) -> nn.Module:
    """Return a U-Net at half resolution; see `HalfUNet`."""
    return HalfUNet(channels, maps, options.widths, options.rate)
