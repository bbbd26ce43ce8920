"""Weights to begin with from a model's folder: what fits a new network is kept, and what was folded is unfolded."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from segmetry.errors import OptionError, ReadError
from segmetry.io.card import Card
from segmetry.io.model_folder import ModelFolder, read_model_folder
from segmetry.train.class_task import ClassTask

PARTS = ("encoder", "decoder", "head")
"""Parts of a network: each is kept as a whole or not at all."""

N_MEASURED = 8
"""Training samples, at most, on which the statistics of batch norms are measured."""

_CONVOLUTIONS = (nn.Conv2d, nn.Conv3d, nn.ConvTranspose2d)

_BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)

_INPUTS = {
    "Conv": {1: "weight", 2: "bias"},
    "ConvTranspose": {1: "weight", 2: "bias"},
    "Mul": {1: "weight"},  # group norm is written as a product and a sum
    "Add": {1: "bias"},
}
"""Parameters among the inputs of an operation, by place."""

_NAMES_HERE = {
    "particles": {
        "stem.": "encoder.stem.",
        "down.": "encoder.down.",
        "encoder.": "encoder.blocks.",
        "bottom.": "encoder.bottom.",
        "up.": "decoder.up.",
        "decoder.": "decoder.blocks.",
    }
}
"""Of architectures that are not in the table of networks: how the same layers begin in the one that has them."""

_ALONG_AXES = "net."
"""What the layers of a 2D network begin with inside `segmetry.nets.planes.AlongAxes`."""


class Start(NamedTuple):
    """Where a network begins.

    Parameters
    ----------
    weights : mapping of str to tensor
        Parameters and statistics that are kept, by name in the new network.
    record : mapping
        For the card: name and SHA-256 of the model, number of parameters kept and new in each part, what was changed.
    """

    weights: Mapping[str, Tensor]
    record: Mapping[str, Any]


class _Wiring(NamedTuple):
    """Modules that prediction uses, convolutions that see the image, and for each batch norm the convolution before."""

    used: set[str]
    first: set[str]
    before: dict[str, str]


def starting_weights(folder: Path, task: ClassTask) -> Start:
    """Return what a network for classes can keep of a trained model.

    Parameters
    ----------
    folder : path
        A model: ``model.onnx`` and ``card.json`` are all that is needed.
    task : ClassTask
        Whose network is to begin with it.

    Raises
    ------
    ReadError
        If the folder is no model, or damaged.
    OptionError
        If its encoder does not fit that of the network.

    Notes
    -----
    The encoder must fit, all of it that prediction uses. The decoder is kept if all of it fits; the head, if the
    decoder is and there are as many classes. What is not kept is random.

    Batch norms were folded into the convolutions (`segmetry.nets.export.export`). The folded weights w and biases b are
    taken as they are, and every batch norm begins with the mean m and the variance v that w * x has in a few training
    samples, the weight sqrt(v + eps) and the bias b + m. So the network gives in evaluation what the model gives, and
    nearly so in training, where the statistics are those of a batch.

    Other number of channels: each channel begins with the mean over the old ones, times old / new channels, so that
    equal channels give the response that equal channels gave. Channels for the place keep their weights, or begin at 0.

    A volume from images: the kernel becomes the middle plane of the new one, the others are 0, so that each plane gives
    what the image gave, up to its edges; only pooling joins planes. Carreira & Zisserman (CVPR 2017, arXiv:1705.07750)
    share it out evenly over the planes, which does so inside only, and volumes have few planes at the coarse levels.

    A network for images that a model runs along the three axes of volumes is taken as the network for images it is.
    """
    model = read_model_folder(folder)
    network: Any = task.build()
    images = [torch.from_numpy(task.sample(i)["image"])[None] for i in range(N_MEASURED)]
    return _start(model, network, task.card, images)


def stored_weights(model: ModelFolder) -> dict[str, Tensor]:
    """Return the numbers in a model's ``model.onnx`` in 32 bits, by the names that its layers had in torch.

    Raises
    ------
    ReadError
        If the file is no network, or its weights are not finite or not in it.

    Notes
    -----
    Most initialisers have the names of parameters. Where the exporter itself folded a batch norm they have not, but
    operations are named after the module that they come from.
    """
    import onnx
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

    where = model.path / "model.onnx"
    try:
        graph = onnx.load_from_string(model.onnx).graph
        if any(weight.data_location for weight in graph.initializer):
            raise ReadError(f"{where}: its weights are in another file, which is not read; get the model anew.")
        known = {w.name: onnx.numpy_helper.to_array(w) for w in graph.initializer}
    except (DecodeError, ValueError, TypeError) as error:
        raise ReadError(f"{where}: is no network ({' '.join(str(error).split())}); get the model anew.") from None
    out = {}
    for node in graph.node:
        if node.op_type in ("Cast", "Identity") and node.input and node.input[0] in known:
            known[node.output[0]] = known[node.input[0]]
        for place, name in _INPUTS.get(node.op_type, {}).items():
            if place < len(node.input) and node.input[place] in known:
                values = known[node.input[place]]
                out[f"{_module(node.name)}.{name}"] = values if node.op_type.startswith("Conv") else values.ravel()
    floats = {k: v for k, v in (out | known).items() if v.dtype in (np.float16, np.float32)}
    if bad := [name for name, values in floats.items() if not np.isfinite(values).all()]:
        raise ReadError(f"{where}: {bad[0]} holds numbers that are not finite; get the model anew.")
    return {name: torch.from_numpy(values.astype(np.float32)) for name, values in floats.items()}


def _module(scope: str) -> str:
    """Return the name of the module that an operation comes from.

    Examples
    --------
    >>> _module("/encoder/levels.0/levels.0.1/levels.0.1.0/Conv")
    'encoder.levels.0.1.0'
    """
    parts: list[str] = []
    for part in scope.split("/")[1:-1]:
        if parts and part.startswith(f"{parts[-1]}."):
            parts[-1] = part
        else:
            parts.append(part)
    return ".".join(parts)


def _start(model: ModelFolder, network: Any, card: Card, images: Iterable[Tensor]) -> Start:
    wiring = _wiring(network, card.channels)
    state = {
        name: v for name, v in network.state_dict().items() if v.is_floating_point() and _owner(name) in wiring.used
    }
    given, folded = _unfolded(_renamed(stored_weights(model), model.card), network, wiring)
    changed: set[str] = set()
    fitting = {}
    for name, like in state.items():
        if name in given:
            tensor, how = _fitted(given[name], like, _owner(name) in wiring.first, model.card, card)
            if tensor.shape == like.shape:
                fitting[name] = tensor
                changed.update(how)
    whole = {part: all(name in fitting for name in state if _part(name) == part) for part in PARTS}
    if not whole["encoder"]:
        raise _misfit(model, card, given, state, fitting)
    kept = ["encoder"]
    if whole["decoder"]:
        kept.append("decoder")
        if whole["head"] and len(model.card.classes) == len(card.classes):
            kept.append("head")
    weights = {name: tensor for name, tensor in fitting.items() if _part(name) in kept}
    weights |= _measured(network, weights, [name for name in folded if _part(name) in kept], images)
    learned = {name: p.numel() for name, p in network.named_parameters() if name in state}
    sizes = {part: sum(n for name, n in learned.items() if _part(name) == part) for part in PARTS}
    record = {
        "model": model.card.name,
        "sha256": model.card.sha256,
        "kept": {part: sizes[part] for part in kept},
        "new": {part: size for part, size in sizes.items() if part not in kept},
        "changed": sorted(changed),
    }
    return Start(weights, record)


def _part(name: str) -> str:
    return name.partition(".")[0]


def _owner(name: str) -> str:
    return name.rpartition(".")[0]


def _renamed(weights: Mapping[str, Tensor], card: Card) -> dict[str, Tensor]:
    begins = _NAMES_HERE.get(card.architecture, {})

    def here(name: str) -> str:
        name = name.removeprefix(_ALONG_AXES)
        old = next((old for old in begins if name.startswith(old)), "")
        return begins[old] + name.removeprefix(old) if old else name

    return {here(name): tensor for name, tensor in weights.items()}


def _wiring(network: Any, channels: int) -> _Wiring:
    """Return how convolutions and batch norms are joined, from a run in which nothing is computed."""
    ghost = copy.deepcopy(network).eval().to("meta")
    image = torch.zeros(1, channels, *(ghost.multiple,) * ghost.n_axes, device="meta")
    found = _Wiring(set(), set(), {})
    makers: dict[int, tuple[str, Tensor]] = {}  # with the tensor, whose id is then that of no other

    def note(name: str, module: nn.Module, given: tuple[Any, ...], made: Any) -> None:
        found.used.add(name)
        if isinstance(module, _CONVOLUTIONS):
            makers[id(made)] = name, made
            if given[0] is image:
                found.first.add(name)
        elif isinstance(module, _BATCH_NORMS) and id(given[0]) in makers:
            found.before[name] = makers[id(given[0])][0]

    for name, module in ghost.named_modules():
        module.register_forward_hook(partial(note, name))
    ghost(image, _all_kept(ghost, "meta"))
    return found


def _all_kept(network: Any, device: str = "cpu") -> Tensor:
    return torch.ones(1, sum(width for width, _ in network.dropout), device=device)


def _unfolded(
    weights: Mapping[str, Tensor], network: nn.Module, wiring: _Wiring
) -> tuple[dict[str, Tensor], list[str]]:
    """Return the weights with batch norms that do nothing but add the bias, and the names of these."""
    given, folded = dict(weights), []
    for norm, conv in wiring.before.items():
        if f"{norm}.running_mean" not in weights and f"{conv}.bias" in weights:
            bias = weights[f"{conv}.bias"]
            module: Any = network.get_submodule(norm)
            given[f"{norm}.running_mean"], given[f"{norm}.running_var"] = torch.zeros_like(bias), torch.ones_like(bias)
            given[f"{norm}.weight"], given[f"{norm}.bias"] = torch.full_like(bias, (1 + module.eps) ** 0.5), bias
            given[f"{conv}.bias"] = torch.zeros_like(bias)
            folded.append(norm)
    return given, folded


def _measured(
    network: nn.Module, weights: Mapping[str, Tensor], norms: Sequence[str], images: Iterable[Tensor]
) -> dict[str, Tensor]:
    """Return statistics, weight and bias of batch norms after what they see in images; the network stays the same."""
    trial: Any = copy.deepcopy(network).eval()
    trial.load_state_dict(trial.state_dict() | weights)
    seen: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in norms}

    def measure(name: str, module: nn.Module, given: tuple[Tensor]) -> None:
        seen[name].append(torch.var_mean(given[0], dim=[0, *range(2, given[0].ndim)], correction=0))

    for name in norms:
        trial.get_submodule(name).register_forward_pre_hook(partial(measure, name))
    with torch.no_grad():
        for image in images:  # one by one: together, volumes would take gigabytes
            trial(image, _all_kept(trial))
    out = {}
    for name, found in seen.items():
        variances, means = (torch.stack(values) for values in zip(*found, strict=True))
        mean, var = means.mean(dim=0), variances.mean(dim=0) + means.var(dim=0, correction=0)
        module = trial.get_submodule(name)
        out[f"{name}.running_mean"], out[f"{name}.running_var"] = mean, var
        out[f"{name}.weight"], out[f"{name}.bias"] = (var + module.eps).sqrt(), module.bias.detach() + mean
    return out


def _fitted(tensor: Tensor, like: Tensor, sees_image: bool, old: Card, new: Card) -> tuple[Tensor, list[str]]:
    """Return weights for other axes and channels, and what was done to them."""
    changed = []
    if tensor.ndim == 4 and like.ndim == 5:
        tensor = inflate(tensor, like.shape[2])
        changed.append("2D to 3D")
    if sees_image and _channels(old) != _channels(new) and tensor.shape[1] == old.channels:
        tensor = over_channels(tensor, old, new)
        changed.append("{} channels and {} for the place".format(*_channels(old)))
    return tensor, changed


def inflate(weight: Tensor, planes: int) -> Tensor:
    """Return a kernel of volumes (O, I, planes, k, k) whose middle plane is one of images (O, I, k, k)."""
    out = weight.new_zeros(*weight.shape[:2], planes, *weight.shape[2:])
    out[:, :, planes // 2] = weight
    return out


def over_channels(weight: Tensor, old: Card, new: Card) -> Tensor:
    """Return the kernel (O, C', ...) of a network's first convolution for other channels, from (O, C, ...)."""
    (n_old, _), (n_new, n_place) = _channels(old), _channels(new)
    image, place = weight[:, :n_old], weight[:, n_old:]
    if n_old != n_new:
        image = image.mean(dim=1, keepdim=True).expand(-1, n_new, *weight.shape[2:]) * (n_old / n_new)
    if n_place and not old.with_coordinates:
        place = torch.zeros_like(weight[:, :1]).expand(-1, n_place, *weight.shape[2:])
    return torch.cat([image, place[:, :n_place]], dim=1)


def _channels(card: Card) -> tuple[int, int]:
    """Return the channels of the image, and those that tell the place."""
    n_place = 2 * card.with_coordinates
    return card.channels - n_place, n_place


def _misfit(
    model: ModelFolder,
    card: Card,
    given: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    fitting: Mapping[str, Tensor],
) -> OptionError:
    """Return the error that says what of an encoder fits, and what network would."""
    wanted = [name for name in state if _part(name) == "encoder"]
    lacking = next(name for name in wanted if name not in fitting)
    there = f"is {tuple(given[lacking].shape)}" if lacking in given else "is missing"
    options = ", ".join(f"{k}: {v}" for k, v in model.card.options.items()) or "its defaults"
    n_fitting = sum(name in fitting for name in wanted)
    return OptionError(
        f"{model.path}: its encoder does not fit the one of {card.architecture or card.name}: {n_fitting} of "
        f"{len(wanted)} tensors do; {lacking} {there} there, {tuple(state[lacking].shape)} here. Take a network with "
        f"the same encoder: {model.card.architecture or model.card.name} with {options}."
    )
