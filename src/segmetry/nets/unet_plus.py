"""U-Net++: a U-Net of every depth inside the deepest one, trained together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from segmetry.errors import OptionError
from segmetry.nets.blocks import conv_pair, enlarge, initialise, masked, repeat
from segmetry.nets.encoders import EncoderOptions, build_encoder
from segmetry.nets.segmenter import Segmenter
from segmetry.options import option


@dataclass(frozen=True, kw_only=True)
class UNetPlusOptions(EncoderOptions):
    """Options of the U-Net++."""

    name = "unet++"
    mode: str = option("accurate", "mean of all branches, or one and the rest left out", choices=("accurate", "fast"))
    branch: int = option(0, "branch of the fast mode: 1 is the shallowest; 0 stands for the deepest", low=0, high=6)


class NestedDecoder(nn.Module):
    """The nodes X(i, j) of the paper, j >= 1: level i, joined with all nodes left of it and the one below."""

    def __init__(self, widths: Sequence[int], strides: Sequence[int], width: int) -> None:
        super().__init__()
        self.depth = len(widths) - 1
        self.width, self.stride = width * strides[0], strides[0]
        self.nodes = nn.ModuleDict()
        for j in range(1, self.depth + 1):
            for i in range(self.depth + 1 - j):
                below = widths[i + 1] if j == 1 else width * strides[i + 1]
                self.nodes[f"{i}-{j}"] = conv_pair(widths[i] + (j - 1) * width * strides[i] + below, width * strides[i])

    def forward(self, features: Sequence[Tensor], branch: int | None = None) -> list[Tensor]:
        """Return X(0, 1) to X(0, branch), each (B, width, H / stride, W / stride); a branch needs no deeper level."""
        branch = branch or self.depth
        rows = [[x] for x in features[: branch + 1]]
        for j in range(1, branch + 1):
            for i in range(branch + 1 - j):
                rows[i].append(self.nodes[f"{i}-{j}"](torch.cat([*rows[i], repeat(rows[i + 1][j - 1])], dim=1)))
        return rows[0][1:]


class UNetPlus(Segmenter):
    """U-Net++ with deep supervision.

    Parameters
    ----------
    encoder, maps, rate
        See `Segmenter`.
    width : int
        Channels of the nodes at full resolution; at stride s there are s times as many.
    mode : {"accurate", "fast"}
        The map of use: the mean of all branches' logits, or one branch.
    branch : int
        The branch of the fast mode; 0 stands for the deepest.

    Notes
    -----
    In training it returns the map of use, then the map of every branch: each is to be scored. In evaluation it returns
    the map of use; in fast mode what other branches alone need is not computed, and not exported. The weights are the
    same in both modes.

    References
    ----------
    Zhou et al., DLMIA 2018, doi:10.1007/978-3-030-00889-5_1; IEEE Trans. Med. Imaging 2020,
    doi:10.1109/TMI.2019.2959609. What differs: pixels are repeated on the way up, where theirs are convolved; the mean
    is of logits, theirs of probabilities.
    """

    def __init__(
        self,
        encoder: nn.Module,
        maps: Sequence[str],
        *,
        width: int,
        mode: str = "accurate",
        branch: int = 0,
        rate: float = 0.0,
    ) -> None:
        e: Any = encoder
        decoder = NestedDecoder(e.widths, e.strides, width)
        super().__init__(encoder, decoder, maps, rate=rate)
        if branch > decoder.depth:
            raise OptionError(f"unet++: branch is 1 to {decoder.depth} for this encoder, or 0, got {branch}.")
        self.mode, self.branch = mode, branch or decoder.depth
        self.head = nn.ModuleList(nn.Conv2d(decoder.width, len(self.maps), 1) for _ in range(decoder.depth))
        initialise(self.head)

    def forward(self, image: Tensor, keep: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Return logits (B, M, H, W) of images (B, C, H, W) under dropout masks (B or 1, K); in training several."""
        fast = self.mode == "fast"
        features, last = self.features(image, keep)
        heads: Any = self.head
        if fast and not self.training:
            features, heads = features[self.branch - 1 : self.branch], heads[self.branch - 1 : self.branch]
        branches = [
            enlarge(head(x if last is None else masked(x, last)), self.decoder.stride)
            for head, x in zip(heads, features, strict=True)
        ]
        if fast:
            used = branches[self.branch - 1] if self.training else branches[0]
        else:
            used = torch.stack(branches).mean(dim=0)
        return (used, *branches) if self.training else used


def build_unet_plus(channels: int, maps: Sequence[str], options: UNetPlusOptions) -> nn.Module:
    """Return a U-Net++; see `UNetPlus`."""
    o = options
    encoder = build_encoder(o.encoder, channels, o.levels(), o.width)
    return UNetPlus(encoder, maps, width=o.width, mode=o.mode, branch=o.branch, rate=o.rate)
