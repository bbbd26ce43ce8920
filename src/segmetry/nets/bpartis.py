"""The network of BPartIS: ERFNet with two decoders, its dropout masks an input."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from segmetry.nets.blocks import enlarge, masked

EPS = 1e-3
"""What all batch norms add to the variance."""

RATES = {64: 0.03, 128: 0.3}
"""Share of channels that the encoder drops in blocks of so many channels."""


class Down(nn.Module):
    """Half the resolution: a strided convolution beside a maximum, batch norm, ELU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(n_in, n_out - n_in, 3, stride=2, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.norm = nn.BatchNorm2d(n_out, EPS)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, H/2, W/2) of (B, n_in, H, W)."""
        return functional.elu(self.norm(torch.cat([self.conv(x), self.pool(x)], dim=1)), inplace=True)


class Up(nn.Module):
    """Twice the resolution: bilinear enlargement, convolution, batch norm, ELU."""

    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__()
        self.conv = nn.Sequential(nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out, EPS))

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_out, 2 H, 2 W) of (B, n_in, H, W)."""
        return functional.elu(self.conv(enlarge(x, 2)), inplace=True)


class Factored(nn.Module):
    """Residual block of four one-dimensional convolutions ("non-bottleneck-1D"), the second pair dilated.

    Parameters
    ----------
    width : int
        Channels in and out.
    dilation : int
        Of the second pair.
    rate : float
        Share of the channels that a random mask drops; 0 for a block without dropout.
    """

    def __init__(self, width: int, dilation: int = 1, rate: float = 0.0) -> None:
        super().__init__()
        self.width, self.rate = width, rate
        self.column_1 = nn.Conv2d(width, width, (3, 1), padding=(1, 0))
        self.row_1 = nn.Sequential(nn.Conv2d(width, width, (1, 3), padding=(0, 1)), nn.BatchNorm2d(width, EPS))
        self.column_2 = nn.Conv2d(width, width, (3, 1), padding=(dilation, 0), dilation=(dilation, 1))
        self.row_2 = nn.Sequential(
            nn.Conv2d(width, width, (1, 3), padding=(0, dilation), dilation=(1, dilation)), nn.BatchNorm2d(width, EPS)
        )

    def forward(self, x: Tensor, keep: Tensor | None = None) -> Tensor:
        """Return (B, width, H, W) of the same; `keep` (B, width) multiplies the channels that are added."""
        y = functional.elu(self.column_1(x), inplace=True)
        y = functional.elu(self.row_1(y), inplace=True)
        y = functional.elu(self.column_2(y), inplace=True)
        y = self.row_2(y)
        if keep is not None:
            y = masked(y, keep)
        return functional.elu(y + x, inplace=True)


class Encoder(nn.Module):
    """Image to features at an eighth of its resolution.

    `unused`, a 1x1 head, is in the published weights and takes no part in anything.
    """

    def __init__(self, n_maps: int) -> None:
        super().__init__()
        middle = [Factored(64, 1, RATES[64]) for _ in range(5)]
        deep = [Factored(128, dilation, RATES[128]) for _ in range(2) for dilation in (2, 4, 8, 16)]
        self.layers = nn.ModuleList([Down(3, 16), Down(16, 64), *middle, Down(64, 128), *deep])
        self.unused = nn.Conv2d(128, n_maps, 1)

    def forward(self, x: Tensor, masks: Iterator[Tensor]) -> Tensor:
        """Return (B, 128, H/8, W/8) of (B, 3, H, W); each block with dropout takes the next of the masks."""
        for layer in self.layers:
            x = layer(x, next(masks)) if isinstance(layer, Factored) else layer(x)
        return x


class Decoder(nn.Module):
    """Features at an eighth of the resolution to maps at all of it; no dropout."""

    def __init__(self, n_maps: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(Up(128, 64), Factored(64), Factored(64), Up(64, 16), Factored(16), Factored(16))
        self.head = nn.Conv2d(16, n_maps, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Return (B, n_maps, 8 H, 8 W) of (B, 128, H, W)."""
        return self.head(enlarge(self.layers(x), 2))


class BPartIS(nn.Module):
    """ERFNet with one decoder for offsets and spreads, and one for the seed map: 2,253,238 parameters.

    Attributes
    ----------
    maps : tuple of str
        Raw outputs in order. ``tanh`` of the offsets is in widths (x) and heights (y) of the image, x first;
        ``exp(10 sigma)`` is the inverse of twice the variance in those units; the seed map is a logit.
    dropout : tuple of (int, float)
        Channels and rate of the 13 places of dropout, in the order of the mask: 1344 channels.

    References
    ----------
    Yildirim and Cole, J. Chem. Inf. Model. 2021, 10.1021/acs.jcim.0c01455; Neven et al., CVPR 2019,
    10.1109/CVPR.2019.00904 (two decoders, offsets and spreads); Romera et al., IEEE Trans. Intell. Transp. Syst. 2018,
    10.1109/TITS.2017.2750080 (ERFNet). What differs: the random masks of dropout come from outside, in training too,
    so that the same mask gives the same maps on every engine.
    """

    stride = 1
    multiple = 8
    maps = ("offset-x", "offset-y", "sigma-x", "sigma-y", "seed")

    def __init__(self) -> None:
        super().__init__()
        self.encoder = Encoder(len(self.maps))
        self.pointing = Decoder(4)
        self.seed = Decoder(1)
        # No offset at first, and a radius of 2.9 px of 512: sqrt(ln 2 / e^10) of the image's side.
        nn.init.zeros_(self.pointing.head.weight)
        self.pointing.head.bias = nn.Parameter(torch.tensor([0.0, 0.0, 1.0, 1.0]))

    @property
    def dropout(self) -> tuple[tuple[int, float], ...]:
        """Channels and rate of every place of dropout, in the order of the mask."""
        return tuple((b.width, b.rate) for b in self.encoder.layers if isinstance(b, Factored))

    def forward(self, image: Tensor, keep: Tensor) -> Tensor:
        """Return raw maps (B, 5, H, W) of images (B, 3, H, W) in [0, 1] under dropout masks (B, 1344)."""
        features = self.encoder(image, iter(keep.split([width for width, _ in self.dropout], dim=1)))
        return torch.cat([self.pointing(features), self.seed(features)], dim=1)
