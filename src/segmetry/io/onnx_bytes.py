"""Look into a network's bytes without the ONNX library: does it want files beside it, what needs only some inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from segmetry.errors import ReadError

_PARTS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "outside"},
}
"""Where a message of a kind holds messages of other kinds: number of the field and kind (onnx.proto3)."""

_FIXED = {1: 8, 5: 4}
_DEEPEST = 60


def opset_of(onnx: bytes) -> int:
    """Return the version of the operations that a network is made of (onnx.proto3: opset_import of the main domain)."""
    sets = [content for number, _, content, _ in _fields(memoryview(onnx)) if number == 8]
    versions = [_varint(raw, 1)[0] for s in sets if not _text(s, 1) for number, _, _, raw in _fields(s) if number == 2]
    return max(versions, default=0)


def with_constant(onnx: bytes, name: str, values: np.ndarray) -> bytes:
    """Return a network for which one of its inputs is no input any more, but has these values for good.

    Parameters
    ----------
    onnx : bytes
        A network that an engine has loaded.
    name : str
        The input; a network without it is returned as it is.
    values : array of float32
        What the input is.
    """
    model = list(_fields(memoryview(onnx)))
    (graph,) = (list(_fields(content)) for number, _, content, _ in model if number == 7)
    kept = [raw for number, _, content, raw in graph if number != 11 or _text(content, 1) != name]
    if len(kept) == len(graph):
        return onnx
    dims = b"".join(_number(n) for n in values.shape)
    weight = _field(1, dims) + b"\x10\x01" + _field(8, name.encode()) + _field(9, values.astype("<f4").tobytes())
    around = b"".join(raw for number, _, _, raw in model if number != 7)
    return around + _field(7, b"".join([*kept, _field(5, weight)]))


def refuse_outside_files(onnx: bytes, where: str) -> None:
    """Raise the error for a network that keeps weights in files of their own.

    ONNX lets a weight name a file to read it from, and an engine looks for it in the folder the program runs in: from a
    stranger's model that is a way to read what is none of its business. Our models are one file.

    Parameters
    ----------
    onnx : bytes
        Content of ``model.onnx``.
    where : str
        Its name for the error.

    Raises
    ------
    ReadError
        If it names another file, or is no ONNX at all.
    """
    try:
        outside = _names_a_file(memoryview(onnx), "model", 0)
    except (ValueError, IndexError):
        raise ReadError(f"{where}: the network cannot be loaded (it is no ONNX); get the model anew.") from None
    if outside:
        raise ReadError(f"{where}: the network cannot be loaded: it wants to read other files, which is not allowed.")


class Halves(NamedTuple):
    """A network in two: `first` needs no input of one name, `second` also takes `between`, what `first` gives."""

    first: bytes
    second: bytes
    between: tuple[str, ...]


def cut_before(onnx: bytes, name: str) -> Halves | None:
    """Return a network as what can be computed without one of its inputs, and the rest; None if all needs it.

    Parameters
    ----------
    onnx : bytes
        A network that an engine has loaded.
    name : str
        The input.

    Notes
    -----
    What goes from one half to the other is declared as numbers of 32 bits. Where it is something else, or where a
    branch or a loop within the network takes its input unseen, no engine loads a half.
    """
    model = list(_fields(memoryview(onnx)))
    graph = [field for number, _, content, _ in model if number == 7 for field in _fields(content)]
    nodes = [_Node.of(content, raw) for number, _, content, raw in graph if number == 1]
    weights = {_text(content, 8): bytes(raw) for number, _, content, raw in graph if number == 5}
    ins, outs = ({_text(c, 1): bytes(raw) for number, _, c, raw in graph if number == kind} for kind in (11, 12))
    late, constant = {name}, {*weights, ""}
    for node in nodes:  # in the order in which they can run
        if late.intersection(node.takes):
            late.update(node.gives)
        elif constant.issuperset(node.takes):
            constant.update(node.gives)
    needed = (taken for node in nodes if late.intersection(node.gives) for taken in node.takes)
    given = dict.fromkeys(taken for taken in needed if taken not in late | constant)
    between = {taken: _field(11, _tensor(taken)) for taken in given if taken not in ins}
    if not between:
        return None
    around = b"".join(raw for number, _, _, raw in model if number != 7)

    def half(inputs: dict[str, bytes], outputs: dict[str, bytes]) -> bytes:
        wanted, kept = set(outputs), []
        for node in reversed(nodes):
            if wanted.intersection(node.gives).difference(inputs):
                wanted.update(node.takes)
                kept.append(node.raw)
        held = (raw for weight, raw in weights.items() if weight in wanted)
        parts: list[bytes] = [*reversed(kept), _field(2, b"half"), *held, *inputs.values(), *outputs.values()]
        return around + _field(7, b"".join(parts))

    first = half(
        {key: raw for key, raw in ins.items() if key != name}, {key: _field(12, _tensor(key)) for key in between}
    )
    also = {key: raw for key, raw in ins.items() if key == name or key in given}
    return Halves(first, half(between | also, outs), tuple(between))


class _Node(NamedTuple):
    takes: list[str]
    gives: list[str]
    raw: bytes

    @classmethod
    def of(cls, content: memoryview, raw: memoryview) -> _Node:
        names: dict[int, list[str]] = {1: [], 2: []}
        for number, _, value, _ in _fields(content):
            if number in names:
                names[number].append(bytes(value).decode())
        return cls(names[1], names[2], bytes(raw))


def _text(message: memoryview, number: int) -> str:
    return next((bytes(value).decode() for n, _, value, _ in _fields(message) if n == number), "")


def _tensor(name: str) -> bytes:
    """Return the declaration of a tensor of 32-bit numbers of any shape."""
    return _field(1, name.encode()) + _field(2, _field(1, b"\x08\x01"))


def _field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + _number(len(content)) + content


def _number(n: int) -> bytes:
    """Return a number in 7 bits a byte, as `_varint` reads it."""
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes([*out, n])


def _names_a_file(data: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    parts = _PARTS[kind]
    for number, wire, content, _ in _fields(data):
        if wire == 0:
            if kind == "tensor" and number == 14 and any(content):
                return True
            continue
        part = parts.get(number) if wire == 2 else None
        if part == "outside" or (part and _names_a_file(content, part, depth + 1)):
            return True
    return False


def _fields(data: memoryview) -> Iterator[tuple[int, int, memoryview, memoryview]]:
    """Yield number, kind, content and all bytes of each field of a message."""
    at = 0
    while at < len(data):
        begin = at
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        start = at
        if wire == 0:
            _, end = _varint(data, at)
        elif wire == 2:
            length, start = _varint(data, at)
            end = start + length
        elif wire in _FIXED:
            end = at + _FIXED[wire]
        else:
            raise ValueError("unknown kind of field")
        if end > len(data) or not number:
            raise ValueError("cut off")
        yield number, wire, data[start:end], data[begin:end]
        at = end


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    """Return a number of 7 bits a byte, and the place behind it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            return value, at
    raise ValueError("number too long")
