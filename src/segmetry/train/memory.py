"""How much memory a step of training takes, told before one is taken."""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.cost import available_memory, gigabytes
from segmetry.errors import OptionError
from segmetry.train.device import MIXED
from segmetry.train.options import FitOptions

OVERHEAD = 1.6
"""What a step allocates for each byte that its forward pass keeps: gradients, and what kernels put aside."""

LOSS_COPIES = 12
"""Copies of the network's maps, in 32 bits, that losses and their gradients make."""

WEIGHT_COPIES = 4
"""Gradients, two moments of the optimiser and the running mean: as large as the weights, which are there already."""


class StepMemory(NamedTuple):
    """Bytes that a step takes: `fixed` ones whatever the batch, and those of each `sample`."""

    fixed: float
    sample: float


def step_memory(network: nn.Module, sample: Mapping[str, np.ndarray], options: FitOptions) -> StepMemory:
    """Return the memory that a step of training takes.

    Parameters
    ----------
    network : module
        ``network(image, keep) -> maps``.
    sample : mapping
        With ``image`` (C, *S) and ``keep`` (K,).
    options : FitOptions

    Notes
    -----
    Counted, not measured: the network runs forward on tensors that have a shape and no content, and all that autograd
    keeps of it for the backward pass is added up (half of it where precision is mixed: of 16 bits). So it takes no
    memory, and a tenth of a second (a second for the first network of a process). The peak of two true steps with
    cross-entropy and Dice on a CPU was 0.9 to 1.2 times what comes out for seven 2D networks at crops from 128 px (2 to
    8 samples, 2 to 8 classes), and 1.2 to 1.8 times for a 3D U-Net at 16 x 64 x 64.
    """
    hollow = copy.deepcopy(network).to("meta")
    if options.freeze < 0:
        hollow.get_submodule("encoder").requires_grad_(requires_grad=False)
    weights = {id(weight) for weight in hollow.parameters()}
    kept: dict[int, Any] = {}

    def keep(tensor: Tensor) -> Tensor:
        if id(tensor) not in weights:
            storage = tensor.untyped_storage()
            kept[storage._cdata] = storage  # several operations may keep the same one
        return tensor

    # Two samples, since batch norm takes no single number for a channel.
    given = [torch.empty((2, *sample[name].shape), device="meta") for name in ("image", "keep")]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        maps = hollow(*given)
    of_maps = sum(one.numel() * 4 for one in (maps if isinstance(maps, list | tuple) else [maps]))
    features = sum(storage.nbytes() for storage in kept.values()) * (0.5 if options.precision == MIXED else 1)
    fixed = WEIGHT_COPIES * sum(weight.numel() * 4 for weight in network.parameters())
    return StepMemory(fixed, (OVERHEAD * features + LOSS_COPIES * of_maps) / 2)


def refuse_too_little_memory(
    network: nn.Module, sample: Mapping[str, np.ndarray], options: FitOptions, device: torch.device, *, devices: int = 1
) -> None:
    """Raise the error that says how much memory a step takes, how much there is, and what would fit.

    Parameters
    ----------
    network : module
        On the device. Networks that take no dropout mask are not looked at.
    sample : mapping
        One of the task's samples.
    options : FitOptions
    device : torch.device
        Where nobody tells how much is free, nothing is refused.
    devices : int
        Number of those that share the batch.

    Raises
    ------
    OptionError
        If a step does not fit.
    """
    if not {"image", "keep"} <= sample.keys():
        return
    there = free_memory(device)
    if math.isnan(there):
        return
    fixed, each = step_memory(network, sample, options)
    batch = options.batch // devices
    if (need := fixed + batch * each) <= there:
        return
    shape = sample["image"].shape[1:]
    room = max(there - fixed, 0)
    multiple = int(getattr(network, "multiple", 1))
    side = int(shape[-1] * math.sqrt(room / (batch * each))) // multiple * multiple
    fitting = [f"batch={int(room / each) * devices}"] if room >= each else []
    fitting += [f"side={side}"] if side else []
    where = "on the GPU" if device.type == "cuda" else "here"
    raise OptionError(
        f"fit: a step on {batch} samples of {' × '.join(map(str, shape))} px takes about {gigabytes(need)} of memory, "
        f"but {gigabytes(there)} are free {where}; "
        + (f"{' or '.join(fitting)} would fit." if fitting else "take a smaller network.")
    )


def free_memory(device: torch.device) -> float:
    """Return the bytes that can still be taken on a device; nan where nobody tells."""
    if device.type == "cuda":
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + cached)
    return 2**20 * available_memory() if device.type == "cpu" else math.nan
