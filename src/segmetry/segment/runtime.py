"""Start the engine that runs a network: ONNX Runtime, or OpenVINO where it is installed."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import OptionError, ReadError, unknown_name
from segmetry.io.model_folder import ModelFolder
from segmetry.io.onnx_bytes import refuse_outside_files

ENGINES = ("auto", "cpu", "cuda", "openvino")
"""What can run a network: ``auto`` is a GPU if ONNX Runtime has one, else the CPU."""

LARGE = 2**21
"""Pixels of a run after which ONNX Runtime gives its memory back. It would keep all of it, and ask for more than it
needs: measured 890 instead of 640 MB at 2976 x 3104. The system takes a while to find it anew: 13 % of the run there.
"""

Run = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""Images (B, C, ...) and masks (n, K) to maps (max(B, n), C', ...)."""


class Started(NamedTuple):
    """An engine by name and version, and the function that runs the network with it."""

    engine: str
    run: Run


def start(folder: ModelFolder, n_threads: int, engine: str) -> Started:
    """Return an engine that holds the network of a folder.

    Parameters
    ----------
    folder : ModelFolder
        A model as read.
    n_threads : int
        Threads that one run may use.
    engine : {"auto", "cpu", "cuda", "openvino"}
        All compute in 32 bits.

    Raises
    ------
    ReadError
        If the network cannot be loaded, or is not what its card says.
    OptionError
        If the engine is unknown or not installed.
    """
    if engine not in ENGINES:
        raise unknown_name("engine", engine, ENGINES)
    refuse_outside_files(folder.onnx, str(folder.path))
    if engine == "openvino":
        return _openvino(folder, n_threads)
    import onnxruntime

    available = onnxruntime.get_available_providers()
    if engine == "auto":
        engine = "cuda" if "CUDAExecutionProvider" in available else "cpu"
    if engine == "cuda" and "CUDAExecutionProvider" not in available:
        raise OptionError("engine cuda is not there: it needs a GPU and the package onnxruntime-gpu; use cpu.")
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.enable_mem_pattern = False  # plans for each new size of image: measured 266 instead of 482 MB for 2048²
    options.log_severity_level = 3
    # TF32 would round products to 10 bits: another answer than the CPU's.
    cuda: list[Any] = [("CUDAExecutionProvider", {"use_tf32": "0"})] if engine == "cuda" else []
    try:
        session = onnxruntime.InferenceSession(folder.onnx, options, providers=[*cuda, "CPUExecutionProvider"])
    except Exception as error:  # the runtime raises a dozen kinds of its own
        raise _unloadable(folder, error) from None
    shapes = {node.name: list(node.shape) for node in (*session.get_inputs(), *session.get_outputs())}
    _fit(shapes, folder)
    tidy = onnxruntime.RunOptions()
    tidy.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
        given = {"image": image, "keep": keep}
        large = image.size * max(len(image), len(keep)) > LARGE
        fed = {name: given[name] for name in given if name in shapes}
        maps = session.run(["maps"], fed, tidy if large else None)[0]
        return np.broadcast_to(maps, (max(len(image), len(keep)), *maps.shape[1:]))

    return Started(f"ONNX Runtime {onnxruntime.__version__}, {engine}", run)


def _openvino(folder: ModelFolder, n_threads: int) -> Started:
    try:
        openvino: Any = importlib.import_module("openvino")
    except ImportError:
        raise OptionError("engine openvino is not there: install the package openvino, or use cpu.") from None
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads}
    try:
        compiled = core.compile_model(core.read_model(folder.onnx), "CPU", settings)
    except RuntimeError as error:
        raise _unloadable(folder, error) from None
    shapes = {
        port.get_any_name(): [d.get_length() if d.is_static else str(d) for d in port.get_partial_shape()]
        for port in (*compiled.inputs, *compiled.outputs)
    }
    _fit(shapes, folder)
    request = compiled.create_infer_request()

    def run(image: np.ndarray, keep: np.ndarray) -> np.ndarray:
        given = {"image": image, "keep": keep}
        maps = request.infer({name: given[name] for name in given if name in shapes})["maps"].copy()
        return np.broadcast_to(maps, (max(len(image), len(keep)), *maps.shape[1:]))

    return Started(f"OpenVINO {openvino.__version__.split('-')[0]}", run)


def _unloadable(folder: ModelFolder, error: Exception) -> ReadError:
    lines = str(error).splitlines() or ["no reason given"]
    return ReadError(f"{folder.path}: the network cannot be loaded ({lines[0]:.200}).")


def _fit(shapes: Mapping[str, Sequence[int | str | None]], folder: ModelFolder) -> None:
    """Raise the error that says where a network's inputs and output differ from its card."""
    card = folder.card
    wanted = {"image": card.channels, "keep": card.n_keep, "maps": len(card.maps)}
    for name, channels in wanted.items():
        if name == "keep" and name not in shapes and not channels:
            continue  # a network without dropout
        shape = shapes.get(name, ())
        n_dims = 2 if name == "keep" else len(card.axes) + 2
        if len(shape) != n_dims or (isinstance(shape[1], int) and shape[1] != channels):
            raise ReadError(
                f"{folder.path}: the network is not what its card says: {name} should have {n_dims} axes with "
                f"{channels} channels, the network has {dict(shapes)}."
            )
    if unknown := set(shapes) - set(wanted):
        raise ReadError(f"{folder.path}: the network has unknown inputs or outputs: {', '.join(sorted(unknown))}.")
