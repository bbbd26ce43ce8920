"""Checkpoints: named arrays in one file, never a pickle."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.errors import ReadError
from segmetry.io.atomic import atomic


def save_arrays(path: Path, arrays: Mapping[str, Tensor]) -> None:
    """Write tensors by name, whole or not at all."""
    plain = {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in arrays.items()}
    with atomic(path) as temporary, temporary.open("wb") as file:
        np.savez(file, **plain)


def load_arrays(path: Path) -> dict[str, Tensor]:
    """Return the tensors in a file that `save_arrays` wrote."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as data:
            return {name: torch.from_numpy(data[name]) for name in data.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ReadError(f"{path}: this is no checkpoint ({error}); start again without it.") from error


def optimiser_arrays(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """Return the state of an optimiser by name of parameter."""
    out = {}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            out[f"optimiser/{name}/{key}"] = torch.as_tensor(value)
    return out


def restore_optimiser(optimiser: torch.optim.Optimizer, module: nn.Module, arrays: Mapping[str, Tensor]) -> None:
    """Give an optimiser the state that `optimiser_arrays` returned."""
    for name, parameter in module.named_parameters():
        prefix = f"optimiser/{name}/"
        state = {k.removeprefix(prefix): v.clone() for k, v in arrays.items() if k.startswith(prefix)}
        for key, value in state.items():
            if value.shape == parameter.shape and value.ndim:
                state[key] = value.to(parameter.device).contiguous(
                    memory_format=torch.channels_last if value.ndim == 4 else torch.contiguous_format
                )
        if state:
            optimiser.state[parameter] = state
