"""Which device runs a network, and the numbers that it is fast at."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from segmetry.errors import OptionError, unknown_name
from segmetry.train.options import FitOptions
from segmetry.train.running import Running

if TYPE_CHECKING:
    from lightning_fabric import Fabric

MIXED, SINGLE = "bf16-mixed", "32-true"
BF16 = ("avx512_bf16", "amx_bf16", "bf16", "arm_bf16")
"""What processors call instructions that multiply 16-bit floats."""


def make_fabric(options: FitOptions, running: Running) -> tuple[Fabric, FitOptions]:
    """Return what runs a network on this machine's devices, and options that name the precision that it has.

    Parameters
    ----------
    options : FitOptions
    running : Running
        Its ``device`` is ``"auto"`` (a GPU where there is one), ``"cpu"``, ``"cuda"`` or ``"mps"``; ``"cuda:4"`` is
        four of them.

    Raises
    ------
    OptionError
        If there is no such device here.
    """
    from lightning_fabric import Fabric  # takes seconds, so not before something is fitted

    kind, _, number = running.device.partition(":")
    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind not in {"auto", *there}:
        raise unknown_name("device", kind, ["auto", *there])
    if kind == "auto":
        kind = next(name for name, is_there in there.items() if is_there)
    if not there[kind]:
        known = ", ".join(name for name, is_there in there.items() if is_there)
        raise OptionError(f"device: this machine has no {kind}, or torch was built without it; there are: {known}.")
    if number and not (number.isdigit() and int(number)):
        raise OptionError(f"device: write {kind}:4 for four devices, got {running.device!r}.")
    native = multiplies_bf16(kind)
    if options.precision == MIXED and not native:
        running.tell(
            f"this {'processor' if kind == 'cpu' else 'device'} has no arithmetic of 16-bit floats: {MIXED} can take "
            f"ten times as long as {SINGLE}, which precision=auto takes here"
        )
    if options.precision == "auto":
        options = replace(options, precision=MIXED if native else SINGLE)
    logging.getLogger("lightning_fabric").setLevel(logging.WARNING)  # it tells of its precision each time
    named: Any = options.precision  # one of Fabric's names, which `FitOptions` does not know
    return Fabric(accelerator=kind, devices=int(number or 1), precision=named), options


def multiplies_bf16(kind: str) -> bool:
    """Return whether a kind of device (``cpu``, ``cuda``, ``mps``) multiplies 16-bit floats itself.

    One that does not emulates it: a step of the network behind `particles` took 12 times as long as in 32 bits on a
    processor with AVX2 alone, and .45 times as long on one with AVX-512 and its bf16 instructions.
    """
    if kind == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    # Older releases of torch cannot tell of processors; Apple's GPUs gain nothing.
    told: Mapping[str, object] = getattr(torch.cpu, "get_capabilities", dict)() if kind == "cpu" else {}
    return any(told.get(name) for name in BF16)


def name_device(fabric: Fabric, options: FitOptions) -> str:
    """Return what runs a network, as a report names it."""
    if fabric.device.type == "cuda":
        name = torch.cuda.get_device_name(fabric.device)
        words = name if fabric.world_size == 1 else f"{fabric.world_size} × {name}"
    else:
        n = torch.get_num_threads()
        words = f"{fabric.device.type}, {n} thread{'s' if n > 1 else ''}"
    return f"{words}, {options.precision}"
