"""The table of networks for classes: a new one costs a file, a row here, and a class of tests."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from segmetry.errors import OptionError, unknown_name
from segmetry.nets.deeplab import DeepLabOptions, build_deeplab
from segmetry.nets.export import receptive_radius
from segmetry.nets.fpn import FPNOptions, build_fpn
from segmetry.nets.linknet import LinkNetOptions, build_linknet
from segmetry.nets.pspnet import PSPNetOptions, build_pspnet
from segmetry.nets.segnet import SegNetOptions, build_segnet
from segmetry.nets.unet import (
    SpotUNetOptions,
    UNet3DOptions,
    UNetOptions,
    build_plain_unet,
    build_unet,
    build_unet3d,
)
from segmetry.nets.unet_half import HalfUNetOptions, build_unet_half
from segmetry.nets.unet_plus import UNetPlusOptions, build_unet_plus
from segmetry.options import Options


@dataclass(frozen=True)
class Architecture:
    """A kind of network.

    Parameters
    ----------
    options : type of Options
        Record of its options; its `name` is the network's.
    summary : str
        What it is, in a phrase.
    source : str
        Paper or talk that it is from.
    build : callable
        ``build(channels, maps, options) -> module``.
    axes : {"YX", "ZYX"}
        Of its images.
    thin : mapping
        Options that give the same layers with few channels: for tests, and to measure how far it sees.
    """

    options: type[Options]
    summary: str
    source: str
    build: Callable[[int, Sequence[str], Any], nn.Module]
    axes: str = "YX"
    thin: Mapping[str, Any] = field(default_factory=lambda: {"width": 4})

    @property
    def name(self) -> str:
        """Name in the table, in recipes and on the card."""
        return self.options.name


NETWORKS: dict[str, Architecture] = {
    a.name: a
    for a in (
        Architecture(
            UNetOptions,
            "encoder and decoder, joined at every level: the one to begin with",
            "Ronneberger et al. 2015, doi:10.1007/978-3-319-24574-4_28",
            build_unet,
        ),
        Architecture(
            HalfUNetOptions,
            "residual U-Net at half resolution: the fastest on CPUs, for what is wider than a few pixels",
            "the trunk of the particle network",
            build_unet_half,
        ),
        Architecture(
            SpotUNetOptions,
            "small U-Net without normalisation, for bright spots in neutron images",
            "Kaestner, Segmenting neutron images using machine learning, PSI 2021",
            build_plain_unet,
        ),
        Architecture(
            UNetPlusOptions,
            "nested U-Nets, each branch supervised: mean of all, or one that is quick",
            "Zhou et al. 2020, doi:10.1109/TMI.2019.2959609",
            build_unet_plus,
        ),
        Architecture(
            SegNetOptions,
            "VGG-16 and its mirror image; puts maxima back where they were found",
            "Badrinarayanan et al. 2017, doi:10.1109/TPAMI.2016.2644615",
            build_segnet,
        ),
        Architecture(
            PSPNetOptions,
            "means over the whole image and its parts: for scenes where place tells; coarse edges",
            "Zhao et al. 2017, doi:10.1109/CVPR.2017.660",
            build_pspnet,
            thin={"width": 4, "decoder": 8},
        ),
        Architecture(
            DeepLabOptions,
            "dilated convolutions of several reaches, and the mean of the image",
            "Chen et al. 2018, doi:10.1007/978-3-030-01234-2_49",
            build_deeplab,
            thin={"width": 4, "decoder": 8},
        ),
        Architecture(
            FPNOptions,
            "a pyramid of features, its levels added at a quarter of the resolution",
            "Lin et al. 2017, doi:10.1109/CVPR.2017.106; Kirillov et al. 2019, doi:10.1109/CVPR.2019.00656",
            build_fpn,
            thin={"width": 4, "decoder": 8},
        ),
        Architecture(
            LinkNetOptions,
            "light decoder, levels added: quick with a deep encoder",
            "Chaurasia & Culurciello 2017, doi:10.1109/VCIP.2017.8305148",
            build_linknet,
        ),
        Architecture(
            UNet3DOptions,
            "U-Net of volumes",
            "Çiçek et al. 2016, doi:10.1007/978-3-319-46723-8_49",
            build_unet3d,
            axes="ZYX",
        ),
    )
}
"""Every network for classes by its name."""


def build_network(
    name: str, *, channels: int, maps: Sequence[str], options: Mapping[str, Any] | Options | None = None
) -> nn.Module:
    """Return a network with random weights.

    Parameters
    ----------
    name : str
        A name of `NETWORKS`.
    channels : int
        Channels of its input.
    maps : sequence of str
        Names of its maps: one for two classes, else one for each class, then auxiliary ones.
    options : mapping or Options, optional
        Options that differ from the defaults.

    Returns
    -------
    network : Module
        ``network(image, keep) -> maps``, logits at full resolution, with `maps`, `stride`, `multiple`, `dropout`,
        `n_axes`, and the parts `encoder`, `decoder` and `head`.

    Raises
    ------
    OptionError
        If the network or an option does not exist (the near name is offered), or a value is out of range.
    """
    if name not in NETWORKS:
        raise unknown_name("network", name, NETWORKS)
    if channels < 1 or not maps:
        raise OptionError(f"{name}: needs at least one channel and one map, got {channels} and {len(maps)}.")
    architecture = NETWORKS[name]
    record = options if isinstance(options, Options) else architecture.options.from_options(options)
    return architecture.build(channels, tuple(maps), record)


def sketch_network(name: str, *, channels: int, maps: Sequence[str], options: Mapping[str, Any] | None = None) -> Any:
    """Return the network of `build_network` in its sizes only: no weight is drawn, and it computes nothing."""
    with torch.device("meta"):
        return build_network(name, channels=channels, maps=maps, options=options)


def count_parameters(net: nn.Module) -> int:
    """Return how many numbers of a network are learned."""
    return sum(p.numel() for p in net.parameters())


def operations_per_pixel(net: nn.Module, *, channels: int = 1) -> float:
    """Return multiply-adds of convolutions and matrix products per pixel of the image (a voxel of the volume).

    Counted on 256 x 256 px or 64 x 64 x 64 voxels, or the next multiple that the network takes; nothing is computed.
    """
    module: Any = net
    side = -(-(256 if module.n_axes == 2 else 64) // module.multiple) * module.multiple
    meta = copy.deepcopy(net).eval().to("meta")
    image = torch.zeros(1, channels, *(side,) * module.n_axes, device="meta")
    keep = torch.ones(1, sum(width for width, _ in module.dropout), device="meta")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        meta(image, keep)
    return counter.get_total_flops() / 2 / side**module.n_axes


def measure_network(name: str) -> dict[str, Any]:
    """Return what a network of the table needs and sees, with one channel, one map and its default options.

    Returns
    -------
    facts : dict
        ``parameters``; ``receptive_radius`` in px, None where each pixel sees the whole image; ``operations``,
        multiply-adds per pixel; ``multiple``, which sides must be multiples of.
    """
    net = sketch_network(name, channels=1, maps=("class",))
    thin = build_network(name, channels=1, maps=("class",), options=NETWORKS[name].thin)
    return {
        "parameters": count_parameters(net),
        "receptive_radius": receptive_radius(thin, n_axes=net.n_axes),
        "operations": operations_per_pixel(net),
        "multiple": net.multiple,
    }
