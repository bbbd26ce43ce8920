"""From a torch module to ONNX: 16-bit weights, sizes left open, randomness as an input, and checked to be equal."""

from __future__ import annotations

import copy
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from segmetry.errors import SegmetryError
from segmetry.segment.dropout import draw_keep

EQUAL = 1e-4
"""Largest difference allowed between ONNX Runtime and torch with the same weights, in a map's own unit."""

ROUND_OFF = 1e-5
"""The same in standard deviations of the map, for maps of large numbers: 32-bit sums carry some 6 digits."""

OWN = 4.0
"""The same in what torch's own sums in 32 bits differ from those in 64: very deep networks amplify round-off."""

ROUNDED = 0.02
"""Largest difference for which weights are rounded to 16 bits, in standard deviations of the map."""

OPSET = 17

_SMALLEST = 256
"""Tensors of fewer numbers stay 32-bit."""

_FARTHEST = 4096
"""A network that still sees the end of an axis of so many pixels counts as one that sees the whole image."""


class Example(NamedTuple):
    """An image (1, C, ...), dropout masks (n, K) and the maps (n, C', ...) that the exported network makes of them."""

    image: np.ndarray
    keep: np.ndarray
    maps: np.ndarray


class Exported(NamedTuple):
    """A network as bytes.

    Parameters
    ----------
    onnx : bytes
        Content of ``model.onnx``.
    facts : mapping
        What the card says of the network itself: stride, multiple, receptive radius, dropout, maps, bytes per pixel.
    example : Example
        An input, and what ONNX Runtime gives for it.
    engine_difference : mapping of str to float
        Per map, largest difference between ONNX Runtime and torch with the same rounded weights.
    rounding_difference : mapping of str to float
        Per map, largest difference to torch with the weights as they were trained.
    """

    onnx: bytes
    facts: Mapping[str, Any]
    example: Example
    engine_difference: Mapping[str, float]
    rounding_difference: Mapping[str, float]


def export(
    net: nn.Module, *, channels: int = 1, n_axes: int = 2, radius: int | Literal["measure"] | None = "measure"
) -> Exported:
    """Return a network as ONNX, checked against torch.

    Parameters
    ----------
    net : module
        ``net(image, keep) -> maps`` with the attributes `stride`, `multiple`, `maps` and `dropout`. Not changed;
        exported as it is in evaluation.
    channels : int
        Channels of its input.
    n_axes : int
        Spatial axes: 2 or 3.
    radius : int or None, optional
        What `receptive_radius` gives for it, which is measured unless told.

    Returns
    -------
    exported : Exported
        Inputs ``image`` (B, C, ...) and ``keep`` (n, K), output ``maps``; B or n is 1, or both are equal. Sides are any
        multiples of ``net.multiple``. With one image and many masks the layers before the first dropout run once.

    Raises
    ------
    SegmetryError
        If the exported network does not give what torch gives, or a weight is not finite or beyond 16 bits.

    Notes
    -----
    Batch norm is folded into the convolution before it. Weights are rounded to 16 bits and cast to 32 as the file is
    loaded, so the arithmetic is that of 32 bits. Where rounding changes a map by more than `ROUNDED`, as it can in very
    deep networks, the weights are kept in 32 bits.
    """
    module: Any = net
    plain = _folded(net)
    n_keep = sum(width for width, _ in module.dropout)
    image, keep = _example(channels, n_axes, module.multiple, module.dropout)
    exact = _maps(plain, image, keep)
    by_map = (0, *range(2, exact.ndim))
    spread = exact.std(axis=by_map)
    stored = _rounded(plain)
    same = _maps(stored, image, keep)
    if not (abs(same - exact).max(axis=by_map) <= ROUNDED * spread + EQUAL).all():
        stored, same = plain, exact
    onnx = _pack(_trace(stored, image, keep, n_axes))
    maps = _run(onnx, image, keep)
    engine, rounding = (abs(maps - other).max(axis=by_map) for other in (same, exact))
    own = abs(same - _maps(copy.deepcopy(stored).double(), image, keep)).max(axis=by_map)
    if not (engine <= np.maximum.reduce([np.full_like(own, EQUAL), ROUND_OFF * spread, OWN * own])).all():
        raise SegmetryError(f"export: ONNX Runtime differs from torch by {engine.max():.2g}, more than {EQUAL}.")
    facts = {
        "maps": tuple(module.maps),
        "stride": module.stride,
        "multiple": module.multiple,
        "receptive_radius": receptive_radius(net, channels=channels, n_axes=n_axes) if radius == "measure" else radius,
        "dropout": tuple(module.dropout),
        "channels": channels,
        "bytes_per_pixel": bytes_per_pixel(onnx, module.multiple, n_axes, n_keep),
    }
    names = facts["maps"]
    return Exported(
        onnx,
        facts,
        Example(image, keep, maps),
        {name: float(d) for name, d in zip(names, engine, strict=True)},
        {name: float(d) for name, d in zip(names, rounding, strict=True)},
    )


def receptive_radius(net: nn.Module, *, channels: int = 1, n_axes: int = 2) -> int | None:
    """Return how far an output pixel of a network sees, in input pixels.

    Parameters
    ----------
    net : module
        See `export`.
    channels, n_axes : int
        Channels and spatial axes of its input.

    Returns
    -------
    radius : int or None
        Largest distance along an axis between an output pixel's own block of ``stride`` input pixels and an input pixel
        that can change it; None if each sees the whole image.

    Notes
    -----
    Measured with what is not a number: one row of an image is made of it, and since it outlives every sum and product,
    also one with a weight of zero, it marks exactly the output pixels that see the row. The row takes every place
    within ``multiple`` pixels, along each axis, since strided layers see unequally far from unequal places.
    """
    copied = copy.deepcopy(net).cpu().float().eval()
    radii = [_radius_along(copied, axis, channels, n_axes) for axis in range(n_axes)]
    return None if None in radii else max(r for r in radii if r is not None)


def _radius_along(net: Any, axis: int, channels: int, n_axes: int) -> int | None:
    length = 32 * net.multiple
    while length <= max(_FARTHEST, 32 * net.multiple):
        middle = length // 2 // net.multiple * net.multiple
        first, last = _marked(net, middle, length, axis, channels, n_axes)
        if first > 0 and last < length // net.stride - 1:
            radius = 0
            for row in range(middle, middle + net.multiple):
                first, last = _marked(net, row, length, axis, channels, n_axes)
                radius = max(radius, row - (first * net.stride + net.stride - 1), last * net.stride - row)
            return radius
        length *= 2
    return None


def _marked(net: Any, row: int, length: int, axis: int, channels: int, n_axes: int) -> tuple[int, int]:
    """Return the first and the last output row that see an input row."""
    image = torch.zeros(1, channels, *(length if a == axis else net.multiple for a in range(n_axes)))
    image.movedim(2 + axis, 0)[row] = math.nan
    with torch.no_grad():
        maps = net(image, torch.ones(1, sum(width for width, _ in net.dropout)))
    seen = maps.movedim(2 + axis, 0).flatten(1).isnan().any(dim=1).nonzero()
    return int(seen.min()), int(seen.max())


def bytes_per_pixel(onnx: bytes, multiple: int, n_axes: int, n_keep: int) -> float:
    """Return the memory that a network's intermediate results take at most, in bytes per input pixel and mask.

    Counted along the graph's order: every result lives from the operation that makes it to the last that needs it. The
    network is run once, on 128 x 128 pixels or 32 x 32 x 32, to see how large each is.
    """
    import onnx as onnx_library

    side = math.ceil((128 if n_axes == 2 else 32) / multiple) * multiple
    model = onnx_library.load_from_string(onnx)
    graph = model.graph
    channels = {value.name: value.type.tensor_type.shape.dim[1].dim_value for value in graph.input}
    image = np.zeros((1, channels["image"], *(side,) * n_axes), np.float32)
    keep = np.ones((1, n_keep), np.float32)
    constant = {w.name for w in graph.initializer}
    for node in graph.node:
        if constant.issuperset(node.input):
            constant.update(node.output)
    made = [name for node in graph.node for name in node.output if name and name not in constant]
    ends = [v.name for v in graph.output]
    graph.output.extend(onnx_library.ValueInfoProto(name=name) for name in made if name not in ends)
    results = _results(model.SerializeToString(), image, keep, made)
    size = {name: result.nbytes for name, result in zip(made, results, strict=True)}
    size |= {name: given.nbytes for name, given in (("image", image), ("keep", keep)) if name in channels}
    last = {name: i for i, node in enumerate(graph.node) for name in node.input}
    last |= dict.fromkeys((*channels, *ends), len(graph.node))
    live = most = sum(size[name] for name in channels)
    for i, node in enumerate(graph.node):
        live += sum(size.get(name, 0) for name in node.output)
        most = max(most, live)
        live -= sum(size.get(name, 0) for name in {*node.input, *node.output} if last.get(name, i) == i)
    return most / side**n_axes


def _folded(net: nn.Module) -> nn.Module:
    """Return a copy in evaluation whose batch norms are part of the convolutions before them."""
    copied = copy.deepcopy(net).cpu().float().eval()
    for module in copied.modules():
        if isinstance(module, nn.Sequential):
            for i, (first, second) in enumerate(pairwise(module)):
                if isinstance(first, nn.Conv2d | nn.Conv3d) and isinstance(second, nn.BatchNorm2d | nn.BatchNorm3d):
                    module[i], module[i + 1] = fuse_conv_bn_eval(first, second), nn.Identity()
    return copied


def _rounded(net: nn.Module) -> nn.Module:
    """Return a copy whose weights are numbers of 16 bits; biases and other small tensors keep theirs."""
    copied = copy.deepcopy(net)
    with torch.no_grad():
        for name, weight in copied.named_parameters():
            if weight.ndim > 1 and weight.numel() >= _SMALLEST:
                weight.copy_(weight.half().float())
                if not weight.isfinite().all():
                    raise SegmetryError(f"export: {name} holds weights that are not finite or beyond 16 bits.")
    return copied


def _example(channels: int, n_axes: int, multiple: int, dropout: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return an image of smooth noise, standardised, with unequal sides, and three dropout masks, the first of ones."""
    rng = np.random.default_rng(0)
    least = 64 if n_axes == 2 else 16
    sides = [(math.ceil(least / multiple) + i) * multiple for i in range(n_axes)]
    image = rng.standard_normal((1, channels, *sides))
    spectrum = np.fft.rfftn(image, axes=range(2, 2 + n_axes))
    squares = [np.fft.fftfreq(n) ** 2 for n in sides[:-1]] + [np.fft.rfftfreq(sides[-1]) ** 2]
    frequency = np.sqrt(sum(np.meshgrid(*squares, indexing="ij")))
    image = np.fft.irfftn(spectrum / (frequency + 0.02), sides, axes=range(2, 2 + n_axes))
    image = (image - image.mean()) / image.std()
    keep = draw_keep(dropout, 3, seed=0)
    keep[0] = 1
    return image.astype(np.float32), keep


def _maps(net: nn.Module, image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Return what torch makes of an image, with the network's own precision."""
    dtype = next(net.parameters()).dtype
    with torch.no_grad():
        return net(torch.from_numpy(image).to(dtype), torch.from_numpy(keep).to(dtype)).numpy()


def _trace(net: nn.Module, image: np.ndarray, keep: np.ndarray, n_axes: int) -> bytes:
    sides = {2 + i: name for i, name in enumerate(("planes", "rows", "columns")[-n_axes:])}
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # The exporter by tracing writes one graph for any number of images and masks; its successor wants them equal.
        warnings.simplefilter("ignore", DeprecationWarning)
        # Checks of shapes that libraries make are not part of the graph, and need not be.
        warnings.simplefilter("ignore", torch.jit.TracerWarning)
        torch.onnx.export(
            net,
            (torch.from_numpy(image), torch.from_numpy(keep)),
            buffer,
            input_names=["image", "keep"],
            output_names=["maps"],
            dynamic_axes={
                "image": {0: "images", **sides},
                "keep": {0: "masks"},
                "maps": {0: "samples", **{i: f"map_{name}" for i, name in sides.items()}},
            },
            opset_version=OPSET,
            dynamo=False,
        )
    return buffer.getvalue()


def _pack(onnx: bytes) -> bytes:
    """Return the same network; large weights that are numbers of 16 bits are stored as such, and cast on loading."""
    import onnx as onnx_library

    model = onnx_library.load_from_string(onnx)
    graph = model.graph
    casts = []
    for weight in graph.initializer:
        if weight.data_type == onnx_library.TensorProto.FLOAT and math.prod(weight.dims) >= _SMALLEST:
            values = onnx_library.numpy_helper.to_array(weight)
            short = values.astype(np.float16)
            if np.array_equal(short.astype(np.float32), values):
                name = weight.name
                weight.CopyFrom(onnx_library.numpy_helper.from_array(short, f"{name}.short"))
                casts.append(
                    onnx_library.helper.make_node(
                        "Cast", [weight.name], [name], name=f"{name}.cast", to=onnx_library.TensorProto.FLOAT
                    )
                )
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    onnx_library.checker.check_model(model, full_check=True)
    return model.SerializeToString()


def _run(onnx: bytes, image: np.ndarray, keep: np.ndarray) -> np.ndarray:
    return _results(onnx, image, keep, ["maps"])[0]


def _results(onnx: bytes, image: np.ndarray, keep: np.ndarray, names: Sequence[str]) -> list[np.ndarray]:
    """Return results of a network by their names, also of operations in its middle that were made outputs."""
    import onnxruntime

    session = onnxruntime.InferenceSession(onnx, providers=["CPUExecutionProvider"])
    given = {"image": image, "keep": keep}
    return session.run(names, {node.name: given[node.name] for node in session.get_inputs()})
