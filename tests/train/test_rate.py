"""The search for a learning rate: below what diverges, in proportion to the curvature, and without a trace."""

import json
import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from segmetry.errors import OptionError  # noqa: E402
from segmetry.train.loop import fit  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402
from segmetry.train.planning import plan  # noqa: E402
from segmetry.train.rate import RATE, RATES, WINDOW, RateSearch, diverged, steepest  # noqa: E402
from segmetry.train.rate_search import find_rate  # noqa: E402
from segmetry.train.running import Running  # noqa: E402

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")]


class Bowl:
    """A task without images: loss curvature / 2 * w^2 of a single weight, noise in it, and random numbers of torch."""

    def __init__(self, curvature, start=1.0, noise=0.0, broken=False):
        self.curvature, self.start, self.noise, self.broken = curvature, start, noise, broken

    def build(self):
        network = torch.nn.Module()
        network.weight = torch.nn.Parameter(torch.full((1, 1), self.start))
        network.forward = lambda x: self.curvature / 2 * (network.weight**2).sum() + 0 * torch.rand(1).sum() + x.mean()
        return network

    def sample(self, number):
        noise = np.random.default_rng(number).normal(0, self.noise or 1e-9, 1)
        return {"x": np.float32(np.nan if self.broken else noise)}

    def loss(self, network, batch):
        return network(batch["x"]), {}

    def check(self, network, device):
        return {}


SGD = FitOptions(steps=40, batch=1, optimiser="sgd", weight_decay=0, clip=0, warmup=0, schedule="constant",
                 precision="32-true", average=0.0, learning_rate=0)  # fmt: skip


def final(curvature, rate):
    """Return the weight after gradient descent with Nesterov's momentum of .9, written out."""
    weight, velocity = 1.0, 0.0
    for _ in range(400):
        velocity = 0.9 * velocity + curvature * weight
        weight -= rate * (curvature * weight + 0.9 * velocity)
        if not abs(weight) < 1e6:
            break
    return abs(weight)


@pytest.mark.parametrize("curvature", [1.0, 30.0, 1000.0])
def test_the_rate_lies_below_the_one_that_diverges(curvature):
    found = find_rate(Bowl(curvature), SGD, Running(0)).found
    # Momentum of .9 by Nesterov diverges from 1 + 1 / 2.8 on in units of 1 / curvature; without it is 2.
    assert final(curvature, 1.4 / curvature) > 1e3
    assert final(curvature, 1.3 / curvature) < 1e-3
    assert found < 1.357 / curvature < 2 / curvature
    assert final(curvature, found) < 1e-6, "and with it one arrives"


def test_the_rate_goes_with_the_inverse_of_the_curvature():
    """Eleven steps of the rates lie between the curvatures, so that both see the same numbers."""
    between = float(RATES[11] / RATES[0])
    steep, flat = (find_rate(Bowl(c), SGD, Running(0)) for c in (between, 1.0))
    assert flat.found / steep.found == pytest.approx(between, rel=1e-6)
    assert len(flat.rates) == len(steep.rates) + 11, "and diverge as much later"


def test_it_ends_where_the_loss_diverges():
    search = find_rate(Bowl(100.0), SGD, Running(0))
    assert 1.357 / 100 < search.rates[-1] < 10
    assert len(search.rates) < len(RATES)
    assert diverged([1.0] * 9 + [math.nan])
    assert not diverged([1.0] * 20)
    assert not diverged([0.0] * 20), "a loss of nothing is none that diverges"
    assert not diverged([5.0] * 10 + [0.5] * 10 + [4.9] * 10), "it only comes back to where it was"
    assert diverged([0.1] * 10 + [0.5] * 10), "a trained network that is spoiled"


def test_noise_alone_has_no_steepest_fall():
    rng = np.random.default_rng(0)
    assert not any(math.isfinite(steepest(RATES, 1 + rng.normal(0, 0.2, RATES.size))) for _ in range(100))
    rises = 1 + (RATES / 1e-2) ** 2
    assert math.isnan(steepest(RATES, rises))
    assert math.isnan(steepest(RATES[: WINDOW - 1], -np.arange(WINDOW - 1.0)))


def test_noise_shifts_the_rate_by_less_than_a_third_of_a_decade():
    """A fall by half about 1e-3 with a noise of a tenth."""
    rng = np.random.default_rng(1)
    falls = 1 - 0.5 / (1 + (1e-3 / RATES) ** 2) + (RATES / 0.5) ** 2
    clean = steepest(RATES, falls)
    found = [steepest(RATES, falls + rng.normal(0, 0.05, RATES.size)) for _ in range(50)]
    assert np.sqrt(np.mean(np.log10(np.array(found) / clean) ** 2)) < 1 / 3


def test_what_comes_after_no_number_does_not_count():
    losses = 1 / (1 + (RATES / 1e-3) ** 2)
    losses[70:] = [math.nan, -1e9] * 15
    assert steepest(RATES, losses) == steepest(RATES[:70], losses[:70])


def quietly(task, options, folder, progress=None, **more):
    network = fit(task, options, folder, Running(0, progress=progress), **more)
    return network.weight.detach().clone()


def test_it_leaves_no_trace(tmp_path):
    """Training with the rate that was found is, bit by bit, training with that rate named."""
    torch.manual_seed(5)
    before = torch.get_rng_state()
    rate = find_rate(Bowl(20.0, noise=0.01), SGD, Running(0)).found
    assert torch.equal(torch.get_rng_state(), before)
    found = quietly(Bowl(20.0, noise=0.01), SGD, tmp_path / "found")
    named = FitOptions(**{**SGD.__dict__, "learning_rate": rate})
    assert torch.equal(found, quietly(Bowl(20.0, noise=0.01), named, tmp_path / "named"))
    told = json.loads((tmp_path / "found" / RATE).read_text())
    assert told["found"] == rate
    assert len(told["rates"]) == len(told["losses"]) >= len(told["window_losses"])
    assert not (tmp_path / "named" / RATE).exists()


def test_a_run_that_goes_on_searches_no_more(tmp_path):
    seen = []
    quietly(Bowl(20.0), SGD, tmp_path, stop_after=10, progress=lambda *told: seen.append(told))
    assert seen[0][:2] == (1, len(RATES))
    assert {"trial", "rate", "loss"} == set(seen[0][2])
    seen.clear()
    parts = quietly(Bowl(20.0), SGD, tmp_path, progress=lambda *told: seen.append(told))
    assert [told[0] for told in seen] == [40]
    assert torch.equal(parts, quietly(Bowl(20.0), SGD, tmp_path / "whole"))


@pytest.mark.parametrize("task", [Bowl(1.0, start=0.0), Bowl(1.0, broken=True)])
def test_where_nothing_falls_that_is_said(task, tmp_path):
    for _ in range(2):
        with pytest.raises(OptionError, match="none lets the loss fall clearly"):
            fit(task, SGD, tmp_path, Running(0))
    assert json.loads((tmp_path / RATE).read_text())["found"] is None
    assert math.isnan(RateSearch.load(tmp_path / RATE).found)


def test_the_search_is_within_the_minutes(monkeypatch):
    monkeypatch.setattr("segmetry.train.planning.SECONDS", 0.0)
    steps = [
        plan(Bowl(1.0), options, 5.0, Running(0))
        for options in (SGD, FitOptions(**{**SGD.__dict__, "learning_rate": 1e-3}))
    ]
    for found, searching in zip(steps, (len(RATES), 0), strict=True):
        assert found.steps == int((0.95 * 300 - searching * found.step) / (found.step * (1 + found.check / 120)))
