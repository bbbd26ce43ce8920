"""Speed and memory of the method `particles`, from an image to its particles: one thread, processor time, best of n.

Images are disks that touch here and there, with noise; their size decides the zoom of the second pass, and so the cost.
BPartIS runs untrained, which takes as long; its samples are drawn as published, without segmenting any of them. Memory
is the peak of a fresh process, the interpreter included.

OMP_NUM_THREADS=1 python benchmarks/particles.py [--quick]
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from segmetry.io.model_folder import Card, write_model_folder
from segmetry.measure import measure
from segmetry.segment.doubt import doubt_of
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import Model, load_model, normalise
from segmetry.segment.particles import Particles
from segmetry.segment.pyramid import Passes, averaged, plan_search, search, zoomed
from segmetry.segment.refine import refine_contours
from segmetry.segment.run import segment
from timing import best, machine

SEED = 0
SAMPLES = 30


def disks(shape: tuple[int, int], n: int, radius: tuple[float, float]) -> np.ndarray:
    """Return a noisy micrograph of dark disks, uint8: n of them, fewer where the radius leaves no place."""
    rng = np.random.default_rng(SEED)
    image = np.full(shape, 170, np.uint8)
    pitch = np.sqrt(shape[0] * shape[1] / n)
    for row in np.arange(pitch / 2, shape[0], pitch):
        for col in np.arange(pitch / 2, shape[1], pitch):
            at = np.array([col, row]) + rng.uniform(-0.15, 0.15, 2) * pitch
            cv2.circle(image, np.round(at).astype(int).tolist(), round(rng.uniform(*radius)), 80, -1)
    image = cv2.GaussianBlur(image, (0, 0), 1)
    for top in range(0, shape[0], 512):  # in strips: the noise shall not be what takes the memory
        strip = image[top : top + 512]
        strip[:] = np.clip(strip + rng.normal(0, 8, strip.shape).astype(np.float32), 0, 255)
    return image


def bpartis(folder: Path) -> Model | None:
    """Return the published network, untrained, as ONNX Runtime runs it on one thread; None without torch."""
    try:
        import torch

        from segmetry.nets.bpartis import BPartIS
        from segmetry.nets.export import export
    except ImportError:
        return None
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    made = export(BPartIS().eval(), channels=3)
    facts = {k: v for k, v in made.facts.items() if k in Card.__dataclass_fields__}
    card = Card(name="bpartis", version="0", task="bpartis", normalisation={"kind": "unit"}, **facts)
    write_model_folder(folder / "bpartis", card, made.onnx)
    return load_model(folder / "bpartis")


def torch_pass(image: np.ndarray) -> Callable[[], object]:
    """Return one pass of the published network by torch, without gradient."""
    import torch

    from segmetry.nets.bpartis import BPartIS

    network = BPartIS().eval()
    given, keep = torch.from_numpy(image[None]), torch.ones(1, sum(n for n, _ in network.dropout))

    def job() -> object:
        with torch.inference_mode():
            return network(given, keep)

    return job


def published_samples(image: np.ndarray, n: int) -> float:
    """Return the CPU seconds of the published way to draw the samples and their maps; three are run, times ten."""
    from bpartis import as_written
    from segmetry.nets.bpartis import BPartIS

    network = BPartIS().eval()
    return best(as_written(network, image, draw_keep(network.dropout, 3, SEED)), n) * SAMPLES / 3


def whole(grey: np.ndarray, **options: object) -> Callable[[], object]:
    """Return the job from grey to the table of particles."""

    def job() -> object:
        return measure(segment(grey, "particles", options=options).labels, grey)

    return job


def stages(grey: np.ndarray, model: Model, n: int) -> dict[str, float]:
    """Return the CPU seconds of each stage at the shipped setting."""
    passes = Passes(**dict(model.card.post.get("passes", {})) | {"n_turns": Particles().turns})
    raw = grey.astype(np.float32)
    pixels = normalise(model.card, raw)
    plan = plan_search(pixels, None, model.maps, passes)
    found = search(pixels, None, model.maps, plan, passes)
    image = zoomed(pixels, plan.zoom)
    maps = averaged(model.maps, image, 1)
    spent = {
        "load and check the model": best(lambda: load_model("particles"), n),
        "standardise": best(lambda: normalise(model.card, raw), n),
        "first pass": best(lambda: plan_search(pixels, None, model.maps, passes), n),
        "second pass": best(lambda: search(pixels, None, model.maps, plan, passes), n),
        "  of which the network": best(lambda: averaged(model.maps, image, passes.n_turns), n),
        "maps of doubt": best(lambda: doubt_of([maps[3]]), n),
        "contours": best(lambda: refine_contours(raw, found.particles.labels), n),
        "table": best(lambda: measure(found.particles.labels, grey), n),
    }
    return spent


def samples_seconds(grey: np.ndarray, model: Model, n: int) -> dict[str, float]:
    """Return the zoom, and the CPU seconds of samples and maps alone, and of the whole method with every sample."""
    pixels = normalise(model.card, grey.astype(np.float32))
    plan = plan_search(pixels, None, model.maps)
    image, keep = zoomed(pixels, plan.zoom), draw_keep(model.card.dropout, SAMPLES, SEED)
    return {
        "zoom": plan.zoom,
        "maps": best(lambda: doubt_of(model.maps(image, keep)[:, 3]), n),
    } | {
        name: best(lambda refine=refine: segment(grey, "particles", options={"refine": refine, "samples": SAMPLES}), n)
        for name, refine in (("segmented", False), ("contours", True))
    }


def peak(side: int, n: int, options: str) -> str:
    """Return what one large image takes in a process of its own: seconds, GB, particles."""
    command = [sys.executable, __file__, "--one", str(side), str(n), options]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def one(side: int, n: int, options: str) -> None:
    """Print what one large image takes; run in a process of its own."""
    chosen = dict(pair.split("=") for pair in options.split(",") if pair)
    pitch = side / np.sqrt(n)
    grey = disks((side, side), n, (0.15 * pitch, 0.4 * pitch))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = None

    def job() -> None:
        nonlocal found
        found = segment(grey, "particles", options=chosen)

    spent = best(job, 1)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(
        f"{side}² {options or 'shipped setting':22} {found.n_regions:6} of {n} found, zoom {found.info['zoom']:5.2f}, "
        f"{spent:7.1f} CPU s, peak {after:.2f} GiB ({before:.2f} before)"
    )


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs, no image of 8192 x 8192")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        one(int(given.one[0]), int(given.one[1]), given.one[2])
        return
    n = 2 if given.quick else 5
    cv2.setNumThreads(1)
    model = load_model("particles")
    print(f"{machine()}, {model.engine}, seed {SEED}, CPU seconds, best of {n}")
    published = float("nan")
    with tempfile.TemporaryDirectory() as folder:
        other = bpartis(Path(folder))
        if other:
            image = np.random.default_rng(SEED).uniform(0, 1, (3, 512, 512)).astype(np.float32)
            other.maps(image)
            onnx, torch = best(lambda: other.maps(image), n), best(torch_pass(image), n)
            published = published_samples(image, n)
            print(f"\none bare pass of BPartIS, 512 x 512: {other.engine} {onnx:.3f}, torch {torch:.3f}")
    pixels = np.random.default_rng(SEED).normal(size=(512, 680)).astype(np.float32)
    model.maps(pixels)
    print(f"one bare pass of ours, 512 x 680: {best(lambda: model.maps(pixels), n):.3f}")
    scenes = [("20 of 45 px radius", 20, (35, 55)), ("99 of 18 px", 99, (10, 26)), ("400 of 9 px", 400, (6, 12))]
    images = [(title, disks((512, 680), count, radius)) for title, count, radius in scenes]
    print("\n512 x 680, image to table            zoom   shipped   turns=1   turns=4   refine=false")
    for title, grey in images:
        zoom = segment(grey, "particles").info["zoom"]
        whole(grey)()
        times = [best(whole(grey, **o), n) for o in ({}, {"turns": 1}, {"turns": 4}, {"refine": False})]
        print(f"{title:36} {zoom:5.2f} " + " ".join(f"{t:9.3f}" for t in times))
    title, grey = images[1]
    print(f"\nstages, {title}")
    for name, seconds in stages(grey, model, n).items():
        print(f"{name:28} {1e3 * seconds:7.1f} ms")
    print(f"\n{SAMPLES} Monte Carlo samples of 512 x 512; BPartIS as published, samples and maps: {published:.2f}")
    for title, count, radius in scenes:
        spent = samples_seconds(disks((512, 512), count * 3 // 4, radius), model, max(n // 2, 1))
        zoom = spent.pop("zoom")
        print(f"{title:20} zoom {zoom:5.2f}   " + "   ".join(
            f"{name} {seconds:5.2f} ({published / seconds:4.1f} x)" for name, seconds in spent.items()))  # fmt: skip
    print("\nlarge images, each in a process of its own")
    print(peak(4096, 10_000, ""))
    print(peak(4096, 2_500, "samples=4"))
    if not given.quick:
        print(peak(8192, 10_000, ""))


if __name__ == "__main__":
    main()
