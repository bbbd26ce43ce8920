"""Prediction of large images: time and memory of a U-Net 16-32-64 in exact tiles, beside MONAI's sliding window.

Needs torch; the comparison needs monai (`pip install --target DIR monai --no-deps`, with DIR on PYTHONPATH). One
thread, one run each after a small one that warms up; processor time, and how far the resident memory rose, with what an
engine allocates for itself. Weights are random, which changes no time. MONAI is called with its defaults (a quarter of
overlap, constant weight) in windows of 512 x 512, of which it has no default: four at once, and one at once, which
takes a CPU less time.

OMP_NUM_THREADS=1 python benchmarks/predict.py [--quick]
"""

from __future__ import annotations

import argparse
import importlib.util
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from segmetry.cost import costed
from segmetry.io.model_folder import Card, write_model_folder
from segmetry.nets.export import export
from segmetry.nets.table import build_network
from segmetry.segment import segment
from segmetry.segment.engine import forecast, load_model
from segmetry.segment.runtime import installed_engines
from timing import machine

WINDOW = 512

Way = Callable[[np.ndarray, Path], np.ndarray]
"""Image (M, N) and folder of the model to logits (M, N)."""


def monai_ways(network: torch.nn.Module, n_keep: int) -> dict[str, Way]:
    """Return MONAI's sliding window with four windows at once and with one; none where it is not installed."""
    if not importlib.util.find_spec("monai"):
        print("monai is not installed: no comparison")
        return {}
    from monai.inferers import sliding_window_inference

    def way(n_windows: int) -> Way:
        def predict(image: np.ndarray, model: Path) -> np.ndarray:
            with torch.inference_mode():
                given = torch.from_numpy(image)[None, None]
                one = sliding_window_inference(
                    given, (WINDOW, WINDOW), n_windows, lambda x: network(x, torch.ones(len(x), n_keep))
                )
            return one[0, 0].numpy()

        return predict

    return {f"MONAI, {n} at once": way(n) for n in (4, 1)}


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no image of 4096 x 4096")
    sides = (1024, 2048) if parser.parse_args().quick else (1024, 2048, 4096)
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = build_network("unet", channels=1, maps=("grain",), options={"width": 16, "depth": 2}).eval()
    made = export(network)
    classes = ("air", "grain")
    units = {"kind": "measured", "mean": [0.0], "sd": [1.0]}
    card = Card(name="unet", version="0", task="classes", classes=classes, normalisation=units, **made.facts)
    print(f"{machine()}, torch {torch.__version__}; U-Net 16-32-64, radius {card.receptive_radius} px, one thread")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        write_model_folder(path, card, made.onnx)
        ours = {e: load_model(path, engine=e) for e in installed_engines() if e != "cuda"}
        ways: dict[str, Way] = {
            model.engine: lambda image, at, engine=engine: load_model(at, engine=engine).maps(image)[0]
            for engine, model in ours.items()
        }
        ways["image to classes and doubt"] = lambda image, at: segment(image, str(at)).labels
        ways |= monai_ways(network, card.n_keep)
        noise = np.random.default_rng(0).standard_normal((sides[-1], sides[-1]), np.float32)
        small = np.ascontiguousarray(noise[:1024, :1024])
        with torch.inference_mode():
            given = torch.from_numpy(small)[None, None], torch.ones(1, card.n_keep)
            whole = network(*given)[0, 0].numpy()
        for model in ours.values():
            apart = np.abs(model.maps(small, tile=(WINDOW, WINDOW)) - model.maps(small, tile=small.shape)).max()
            print(
                f"{model.engine}: tiles of {WINDOW} and the whole of 1024 x 1024 differ by {apart:.2g} at most",
                end="; ",
            )
            print(f"torch's whole and ours by {np.abs(model.maps(small)[0] - whole).max():.2g}")
        for name, way in ways.items():
            warm = way(small[:WINDOW, :WINDOW], path)
            if name.startswith("MONAI"):
                assert warm.shape == (WINDOW, WINDOW)
                apart = np.abs(way(small, path) - whole).max() / whole.std()
                print(f"{name}: differs from the whole by {apart:.2g} standard deviations of the map at most")
        for side in sides:
            image = np.ascontiguousarray(noise[:side, :side])
            tile, n_tiles, _ = forecast(card, image.shape)
            print(f"{side} x {side}: {n_tiles} tiles of {tile[0]} x {tile[1]}")
            seconds = {}
            for name, way in ways.items():
                fresh = shutil.copytree(
                    path, Path(folder) / f"{name}-{side}"
                )  # an engine with no memory of its own yet
                cost = costed(lambda way=way, image=image, fresh=fresh: way(image, fresh))
                seconds[name] = cost.cpu_seconds
                ratio = cost.cpu_seconds / seconds[next(iter(ways))]
                print(
                    f"    {name:28} {cost.cpu_seconds:7.2f} s   ratio {ratio:5.2f}   {cost.peak_memory:6.0f} MiB",
                    flush=True,
                )


if __name__ == "__main__":
    main()
