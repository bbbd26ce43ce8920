"""The memory of a step: counted as by hand, near what a step takes, and refused where there is less."""

import re

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from segmetry.cost import costed  # noqa: E402
from segmetry.errors import OptionError  # noqa: E402
from segmetry.nets.table import build_network  # noqa: E402
from segmetry.train import memory  # noqa: E402
from segmetry.train.losses import Loss  # noqa: E402
from segmetry.train.memory import LOSS_COPIES, OVERHEAD, WEIGHT_COPIES, refuse_too_little_memory, step_memory  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402

pytestmark = pytest.mark.torch
FULL = FitOptions(precision="32-true", batch=12)


class Two(nn.Module):
    """Two convolutions: the backward pass needs the image and, once, what lies between them."""

    multiple = 8

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 5, 3, padding=1), nn.Conv2d(5, 2, 1)

    def forward(self, image, keep):
        return self.second(torch.relu(self.first(image)))


def sample(*shape, n_keep=0):
    return {"image": np.zeros(shape, np.float32), "keep": np.ones(n_keep, np.float32)}


def test_a_step_is_counted_as_by_hand():
    found = step_memory(Two(), sample(1, 40, 24), FULL)
    n, weights = 40 * 24 * 4, (5 * 9 + 5 + 2 * 5 + 2) * 4
    assert found.fixed == WEIGHT_COPIES * weights
    assert found.sample == pytest.approx(OVERHEAD * 6 * n + LOSS_COPIES * 2 * n)
    half = step_memory(Two(), sample(1, 40, 24), FitOptions(precision="bf16-mixed"))
    assert half.sample == pytest.approx(OVERHEAD * 3 * n + LOSS_COPIES * 2 * n)


@pytest.mark.parametrize("name", ["unet", "pspnet", "unet3d"])
def test_every_kind_of_network_is_counted(name):
    network = build_network(name, channels=2, maps=("a", "b", "c"), options={}).train()
    n_keep = sum(n for n, _ in network.dropout)
    shapes = [(2, 32, 32, 32), (2, 32, 64, 64)] if name == "unet3d" else [(2, 64, 64), (2, 128, 128)]
    before = {name: value.clone() for name, value in network.state_dict().items()}
    small, large = (step_memory(network, sample(*shape, n_keep=n_keep), FULL) for shape in shapes)
    assert small.fixed == large.fixed
    assert 3.9 < large.sample / small.sample <= 4, "four times the pixels; what is pooled to a few keeps its size"
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())


@pytest.mark.slow
def test_a_true_step_takes_about_as_much():
    """A child would be cleaner; here what the process holds already is given back first (`costed`)."""
    network = build_network("unet", channels=1, maps=("a", "b", "c"), options={}).train()
    n_keep = sum(n for n, _ in network.dropout)
    told = step_memory(network, sample(1, 256, 256, n_keep=n_keep), FULL)
    loss = Loss.from_dict({"cross-entropy": 1, "dice": 1})
    optimiser = torch.optim.AdamW(network.parameters())
    image, keep = torch.randn(4, 1, 256, 256), torch.ones(4, n_keep)
    target = torch.randint(0, 3, (4, 256, 256))

    def step():
        loss(network(image, keep), target).total.backward()
        optimiser.step()

    taken = costed(step).peak_memory
    if not np.isnan(taken):
        assert 0.6 <= 2**20 * taken / (told.fixed + 4 * told.sample) <= 1.5


def test_a_step_that_does_not_fit_is_refused_with_numbers(monkeypatch):
    of, cpu = sample(1, 512, 512), torch.device("cpu")
    fixed, each = step_memory(Two(), of, FULL)
    monkeypatch.setattr(memory, "free_memory", lambda device: fixed + 12 * each)
    refuse_too_little_memory(Two(), of, FULL, cpu)
    monkeypatch.setattr(memory, "free_memory", lambda device: fixed + 5.5 * each)
    with pytest.raises(OptionError) as caught:
        refuse_too_little_memory(Two(), of, FULL, cpu)
    found = re.fullmatch(
        r"fit: a step on 12 samples of 512 × 512 px takes about (.*) GB of memory, but (.*) GB are free here; "
        r"batch=5 or side=(\d+) would fit.",
        str(caught.value),
    )
    assert float(found[1]) == pytest.approx((fixed + 12 * each) / 1e9, rel=0.05)
    assert float(found[2]) == pytest.approx((fixed + 5.5 * each) / 1e9, rel=0.05)
    side = int(found[3])
    room = fixed + 5.5 * each
    assert side % Two.multiple == 0
    for s, fits in ((side, True), (side + Two.multiple, False)):
        need = step_memory(Two(), sample(1, s, s), FULL)
        assert (need.fixed + 12 * need.sample <= room) == fits
    monkeypatch.setattr(memory, "free_memory", lambda device: fixed + 0.5 * each)
    with pytest.raises(OptionError, match=r"free here; side=\d+ would fit"):
        refuse_too_little_memory(Two(), of, FULL, cpu)
    monkeypatch.setattr(memory, "free_memory", lambda device: 0.5 * fixed)
    with pytest.raises(OptionError, match="take a smaller network"):
        refuse_too_little_memory(Two(), of, FULL, cpu)
    monkeypatch.setattr(memory, "free_memory", lambda device: np.nan)
    refuse_too_little_memory(Two(), of, FULL, cpu)


def test_a_gpu_tells_what_is_free(monkeypatch):
    for name, n in (("memory_reserved", 700), ("memory_allocated", 300)):
        monkeypatch.setattr(torch.cuda, name, lambda device, n=n: n)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (5000, 9000))
    assert memory.free_memory(torch.device("cuda")) == 5400
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e6)
    with pytest.raises(OptionError, match=r"on 3 samples .* are free on the GPU; side="):
        refuse_too_little_memory(Two(), sample(1, 512, 512), FULL, torch.device("cuda"), devices=4)
