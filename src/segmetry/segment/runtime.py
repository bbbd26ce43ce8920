"""Start the engine that runs a network: ONNX Runtime, or OpenVINO where it is installed."""

from __future__ import annotations

import functools
import importlib.util
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from segmetry.errors import OptionError, ReadError, unknown_name
from segmetry.io.model_folder import ModelFolder
from segmetry.io.onnx_bytes import cut_before, refuse_outside_files

ENGINES = ("auto", "cpu", "cuda", "openvino")
"""What can run a network: ``auto`` is a GPU if ONNX Runtime has one, else the CPU."""

LARGE = 2**21
"""Pixels of a run after which ONNX Runtime gives its memory back. It would keep all of it, and ask for more than it
needs: measured 890 instead of 640 MB at 2976 x 3104. The system takes a while to find it anew: 13 % of the run there.
Nor are larger runs cut before the first dropout: what the second half waits for would be 0.7 GB there, and no time won.
"""

Run = Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]]
"""Image (1, C, ...) and masks (n, K) to the maps (C', ...) of one mask after the other."""


def installed_engines() -> tuple[str, ...]:
    """Return the engines that are there, the processor's ONNX Runtime first."""
    import onnxruntime

    cuda = ("cuda",) if "CUDAExecutionProvider" in onnxruntime.get_available_providers() else ()
    openvino = ("openvino",) if importlib.util.find_spec("openvino") else ()
    return ("cpu", *cuda, *openvino)


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
    name, load = _openvino(n_threads) if engine == "openvino" else _onnxruntime(n_threads, engine)
    try:
        whole = load(folder.onnx)
    except Exception as error:  # the engines raise a dozen kinds of their own
        raise _unloadable(folder, error) from None
    _fit(whole.shapes, folder)

    @functools.cache
    def halves() -> tuple[_Loaded, _Loaded] | None:
        try:
            cut = cut_before(folder.onnx, "keep")
            return (load(cut.first), load(cut.second)) if cut else None
        except Exception:  # a network that cannot be cut runs whole
            return None

    def run(image: np.ndarray, keep: np.ndarray) -> Iterator[np.ndarray]:
        if "keep" not in whole.shapes:
            yield from itertools.repeat(whole.compute({"image": image})["maps"][0], len(keep))
        elif image.size <= LARGE and (keep != 1).any() and (cut := halves()):
            # So also for one mask: a sample is the same to the last bit, however many are drawn.
            first, second = cut
            given = {"image": image} | first.compute({"image": image})
            for i in range(len(keep)):
                yield second.compute(given | {"keep": keep[i : i + 1]})["maps"][0]
        else:
            for i in range(len(keep)):
                yield whole.compute({"image": image, "keep": keep[i : i + 1]})["maps"][0]

    return Started(name, run)


class _Loaded(NamedTuple):
    """A network in an engine: the shapes of its inputs and outputs, and arrays by name to arrays by name.

    What it is given and has no input for is left out.
    """

    shapes: dict[str, list[int | str | None]]
    compute: Callable[[Mapping[str, np.ndarray]], dict[str, np.ndarray]]


def _onnxruntime(n_threads: int, engine: str) -> tuple[str, Callable[[bytes], _Loaded]]:
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
    tidy = onnxruntime.RunOptions()
    tidy.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def load(onnx: bytes) -> _Loaded:
        session = onnxruntime.InferenceSession(onnx, options, providers=[*cuda, "CPUExecutionProvider"])
        taken, given = (
            {n.name: list(n.shape) for n in nodes} for nodes in (session.get_inputs(), session.get_outputs())
        )

        def compute(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            large = arrays["image"].size > LARGE
            fed = {name: arrays[name] for name in taken}
            return dict(zip(given, session.run(list(given), fed, tidy if large else None), strict=True))

        return _Loaded(taken | given, compute)

    return f"ONNX Runtime {onnxruntime.__version__}, {engine}", load


def _openvino(n_threads: int) -> tuple[str, Callable[[bytes], _Loaded]]:
    try:
        openvino: Any = importlib.import_module("openvino")
    except ImportError:
        raise OptionError("engine openvino is not there: install the package openvino, or use cpu.") from None
    core = openvino.Core()
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": n_threads}

    def load(onnx: bytes) -> _Loaded:
        network = core.read_model(onnx)  # its names: once compiled, a result may go by the name of one before it
        taken, given = (
            {
                port.get_any_name(): [d.get_length() if d.is_static else str(d) for d in port.get_partial_shape()]
                for port in ports
            }
            for ports in (network.inputs, network.outputs)
        )
        request = core.compile_model(network, "CPU", settings).create_infer_request()

        def compute(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
            made = request.infer([arrays[name] for name in taken])
            return {name: made[i].copy() for i, name in enumerate(given)}

        return _Loaded(taken | given, compute)

    return f"OpenVINO {openvino.__version__.split('-')[0]}", load


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
