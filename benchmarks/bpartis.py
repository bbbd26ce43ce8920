"""Speed of BPartIS: one pass, thirty samples and the clustering, beside torch as the published code calls it.

Needs torch. One thread, processor time, best of n; weights are random, which changes no time but that of clustering,
so particles are clustered from ideal maps.

OMP_NUM_THREADS=1 python benchmarks/bpartis.py [--quick]
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch

from segmetry.io.model_folder import Card, write_model_folder
from segmetry.nets.bpartis import BPartIS
from segmetry.nets.export import export
from segmetry.segment.bpartis import SIDE, average_samples, find_particles, squeeze
from segmetry.segment.bpartis_cluster import cluster
from segmetry.segment.dropout import draw_keep
from segmetry.segment.engine import Model, load_model
from timing import best, machine

SAMPLES = 30


def as_written(network: BPartIS, image: np.ndarray, keep: np.ndarray) -> Callable[[], object]:
    """Return the published way to draw samples: one after the other, with the graph of the gradient, kept raw."""
    given = torch.from_numpy(image.copy())[None]

    def job() -> torch.Tensor:
        raw = torch.cat([network(given, torch.from_numpy(mask)[None]).detach() for mask in keep])
        p = torch.sigmoid(raw[:, 4]).clamp(1e-6, 1 - 1e-6)
        mean = p.mean(0)
        entropy = [-(q * q.log() + (1 - q) * (1 - q).log()) for q in (mean, p)]
        return entropy[0] - entropy[1].mean(0)

    return job


def disks(n: int) -> np.ndarray:
    """Return labels of n disks that cover each other."""
    rng = np.random.default_rng(0)
    labels = np.zeros((SIDE, SIDE), np.int32)
    for k in range(1, n + 1):
        cv2.circle(labels, rng.integers(0, SIDE, 2).tolist(), int(rng.uniform(7, 260 / np.sqrt(n))), k, -1)
    return labels


def ideal(labels: np.ndarray) -> np.ndarray:
    """Return maps whose every pixel points to its particle's centre."""
    maps = np.full((5, SIDE, SIDE), 1.5, np.float32)
    place = np.linspace(0, 1, SIDE)
    maps[:2], maps[4] = 0, np.where(labels > 0, 9, -9)
    area = np.maximum(np.bincount(labels.ravel()), 1)
    for axis, where in enumerate(np.broadcast_arrays(place[None], place[:, None])):
        centre = np.bincount(labels.ravel(), weights=np.broadcast_to(where, labels.shape).ravel()) / area
        maps[axis] = np.where(labels > 0, np.arctanh(np.clip(centre[labels] - where, -0.99, 0.99)), 0)
    return maps


def plain_cluster(maps: np.ndarray) -> np.ndarray:
    """Return labels by the published steps in numpy: every proposal looks at every candidate."""
    place = np.linspace(0, 1, SIDE, dtype=np.float32)
    e = np.tanh(maps[:2]) + np.stack(np.broadcast_arrays(place[None], place[:, None]))
    seed = 1 / (1 + np.exp(-maps[4]))
    candidate = seed > 0.5
    e, s, seed = e[:, candidate], np.exp(10 * maps[2:4, candidate]), seed[candidate]
    free, label, n = np.ones(seed.size, bool), np.zeros(seed.size, int), 0
    while free.sum() > 128:
        k = int(np.argmax(seed * free))
        free[k] = False
        proposal = np.exp(-((e - e[:, k : k + 1]) ** 2 * s[:, k : k + 1]).sum(0)) > 0.5
        if proposal.sum() > 128 and free[proposal].mean() > 0.5:
            n += 1
            label[proposal] = n
        free[proposal] = False
    labels = np.zeros((SIDE, SIDE), int)
    labels[candidate] = label
    return labels


def make_model(network: BPartIS, folder: Path) -> Model:
    """Return a network as a model that ONNX Runtime runs on one thread."""
    made = export(network, channels=3)
    facts = {k: v for k, v in made.facts.items() if k in Card.__dataclass_fields__}
    card = Card(name="bpartis", version="0", task="bpartis", normalisation={"kind": "unit"}, **facts)
    write_model_folder(folder / "model", card, made.onnx)
    return load_model(folder / "model")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer runs")
    n = 2 if parser.parse_args().quick else 4
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    torch.manual_seed(0)
    network = BPartIS().eval()
    grey = np.where(disks(40) > 0, 180, 60).astype(np.uint8)
    image, keep = squeeze(grey), draw_keep(network.dropout, SAMPLES, 0)
    ones = np.ones((1, keep.shape[1]), np.float32)
    print(f"{machine()}, torch {torch.__version__}, 512 x 512, CPU seconds, best of {n}")
    with tempfile.TemporaryDirectory() as folder:
        model = make_model(network, Path(folder))
        one, three = as_written(network, image, ones), as_written(network, image, keep[:3])

        def without_gradient() -> torch.Tensor:
            with torch.inference_mode():
                return network(torch.from_numpy(image.copy())[None], torch.from_numpy(ones))

        def samples() -> object:
            parts = (model.maps(image, keep[i : i + 4]) for i in range(0, SAMPLES, 4))
            return average_samples(sample for part in parts for sample in part)

        model.maps(image, ones)
        samples()
        torch_one, torch_plain, ours_one = (
            best(one, n),
            best(without_gradient, n),
            best(lambda: model.maps(image, ones), n),
        )
        torch_all = best(three, max(1, n // 2)) * SAMPLES / 3
        ours_all = best(samples, 1)
        print(f"one pass   torch as written {torch_one:6.2f}   without gradient {torch_plain:6.2f}   "
              f"{model.engine} {ours_one:6.2f}   as written / ours {torch_one / ours_one:4.1f}")  # fmt: skip
        print(f"{SAMPLES} samples, averaged, with information   torch as written {torch_all:6.1f} (3 run, times ten)   "
              f"ours {ours_all:6.1f}   ratio {torch_all / ours_all:4.1f}")  # fmt: skip
        whole = best(lambda: find_particles(model, grey, samples=0), 1)
        print(f"one image to labels, one pass {whole:6.2f}")
    for count in (10, 100, 400):
        labels = disks(count)
        maps = ideal(labels)
        cluster(maps)
        ours, plain = best(lambda maps=maps: cluster(maps), n), best(lambda maps=maps: plain_cluster(maps), 1)
        agree = cluster(maps).max() == np.unique(plain_cluster(maps)).size - 1
        print(
            f"clustering, {count:3} disks: ours {ours:.4f}, numpy {plain:.3f}, ratio {plain / ours:.0f}, agree {agree}"
        )


if __name__ == "__main__":
    main()
