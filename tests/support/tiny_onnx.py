"""Small ONNX networks written byte by byte, so that tests of the engine need neither torch nor the onnx library.

The bytes are protocol buffers: a field is its number and kind, then a number or a length and content (onnx.proto3).
"""

from __future__ import annotations

import numpy as np

from segmetry.io.model_folder import Card

Value = int | str | bytes


def _varint(n: int) -> bytes:
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def message(*fields: tuple[int, Value]) -> bytes:
    """Return a message of numbered fields: whole numbers, or texts and messages."""
    out = b""
    for number, value in fields:
        if isinstance(value, int):
            out += _varint(number << 3) + _varint(value)
        else:
            content = value.encode() if isinstance(value, str) else value
            out += _varint(number << 3 | 2) + _varint(len(content)) + content
    return out


def tensor(name: str, values: np.ndarray) -> bytes:
    kind = {"float32": 1, "int64": 7}[values.dtype.name]
    return message(*((1, n) for n in values.shape), (2, kind), (8, name), (9, values.tobytes()))


def node(kind: str, inputs: list[str], output: str, **ints: list[int]) -> bytes:
    attributes = [message((1, key), *((8, n) for n in value), (20, 7)) for key, value in ints.items()]
    return message(*((1, name) for name in inputs), (2, output), (4, kind), *((5, a) for a in attributes))


def value(name: str, dims: list[int | str]) -> bytes:
    shape = message(*((1, message((1, d) if isinstance(d, int) else (2, d))) for d in dims))
    return message((1, name), (2, message((1, message((1, 1), (2, shape))))))


def model(nodes: list[bytes], weights: list[bytes], inputs: list[bytes], outputs: list[bytes]) -> bytes:
    graph = message(
        *((1, n) for n in nodes), (2, "tiny"), *((5, w) for w in weights),
        *((11, i) for i in inputs), *((12, o) for o in outputs),
    )  # fmt: skip
    return message((1, 8), (7, graph), (8, message((1, ""), (2, 17))))


def weights(size: int = 5, n_maps: int = 2, channels: int = 1, seed: int = 0) -> np.ndarray:
    """Return random weights (n_maps, channels, size, size)."""
    return np.random.default_rng(seed).normal(size=(n_maps, channels, size, size)).astype(np.float32)


def tiny(kernel: np.ndarray, *, stride: int = 2, weights: bytes | None = None) -> bytes:
    """Return a network of one convolution with that stride, padded by half its size; its maps are dropped."""
    n_maps, channels, size, _ = kernel.shape
    conv = node("Conv", ["image", "w"], "c", strides=[stride] * 2, pads=[size // 2] * 4, kernel_shape=[size] * 2)
    mask = node("Unsqueeze", ["keep", "axes"], "k")
    return model(
        [conv, mask, node("Mul", ["c", "k"], "maps")],
        [weights or tensor("w", kernel), tensor("axes", np.array([2, 3]))],
        [value("image", ["b", channels, "h", "w_"]), value("keep", ["n", n_maps])],
        [value("maps", ["s", n_maps, "r", "q"])],
    )


def tiny_card(kernel: np.ndarray, *, stride: int = 2, multiple: int = 4, **changes: object) -> Card:
    """Return the card of `tiny`: an output pixel sees half the kernel beyond its block; classes at stride 1."""
    n_maps, channels, size, _ = kernel.shape
    fields: dict[str, object] = {
        "name": "tiny", "version": "1.0", "task": "classes" if stride == 1 else "image",
        "maps": tuple("abcdefgh"[:n_maps]), "stride": stride,
        "multiple": multiple, "receptive_radius": size // 2, "dropout": ((n_maps, 0.5),), "channels": channels,
    }  # fmt: skip
    return Card(**(fields | changes))


def plain_maps(pixels: np.ndarray, kernel: np.ndarray, *, stride: int = 2, multiple: int = 4) -> np.ndarray:
    """Return what `tiny` makes of an image (M, N) or (C, M, N) without dropout, pixel by pixel in double precision."""
    image = np.atleast_3d(pixels.T).T.astype(float)
    sides = [-(-n // multiple) * multiple for n in image.shape[1:]]
    half = kernel.shape[-1] // 2
    padded = np.zeros((len(image), sides[0] + 2 * half, sides[1] + 2 * half))
    padded[:, half : half + image.shape[1], half : half + image.shape[2]] = image
    out = np.zeros((len(kernel), *(-(-n // stride) for n in image.shape[1:])))
    size = kernel.shape[-1]
    for i in range(out.shape[1]):
        for j in range(out.shape[2]):
            seen = padded[:, i * stride : i * stride + size, j * stride : j * stride + size]
            out[:, i, j] = (kernel * seen).sum(axis=(1, 2, 3))
    return out
