"""Look into a network's bytes without the ONNX library: whether it wants to read files beside it."""

from __future__ import annotations

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


def _names_a_file(data: memoryview, kind: str, depth: int) -> bool:
    if depth > _DEEPEST:
        raise ValueError("nested too deep")
    parts = _PARTS[kind]
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(data, at)
            if kind == "tensor" and number == 14 and value:
                return True
            continue
        if wire == 2:
            length, at = _varint(data, at)
        elif wire in _FIXED:
            length = _FIXED[wire]
        else:
            raise ValueError("unknown kind of field")
        end = at + length
        if end > len(data) or not number:
            raise ValueError("cut off")
        part = parts.get(number) if wire == 2 else None
        if part == "outside" or (part and _names_a_file(data[at:end], part, depth + 1)):
            return True
        at = end
    return False


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
