"""The task of BPartIS: it learns what it is shown, and a trained model runs without torch."""

from __future__ import annotations

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def example():
    """Return six disks on noise."""
    from segmetry.train.data import Example

    rng = np.random.default_rng(0)
    rows, cols = np.mgrid[:256, :256]
    labels = np.zeros((256, 256), np.uint16)
    for k, (r, c) in enumerate(((50, 50), (50, 130), (60, 210), (150, 60), (150, 180), (210, 120)), 1):
        labels[(rows - r) ** 2 + (cols - c) ** 2 < 26**2] = k
    return Example("disks", "one", (60 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape)).astype(np.uint8), labels)


def test_a_sample_has_what_the_network_wants(example):
    from segmetry.train.bpartis_task import BPartISTask
    from segmetry.train.options import published_fit

    task = BPartISTask([example], seed=4)
    one, again = task.sample(9), task.sample(9)
    assert {k: v.shape for k, v in one.items()} == {"image": (3, 512, 512), "keep": (1344,), "labels": (512, 512)}
    assert 0 <= one["image"].min() < one["image"].max() <= 1
    for name, value in one.items():
        np.testing.assert_array_equal(value, again[name])
    shares = np.mean([[(p == 0).mean() for p in np.split(task.sample(n)["keep"], [320])] for n in range(10)], axis=0)
    assert shares.tolist() == [pytest.approx(0.03, abs=0.015), pytest.approx(0.3, abs=0.02)]
    assert np.unique(one["keep"][320:]).tolist() == pytest.approx([0, 1 / 0.7])
    fit = published_fit(366)
    assert (fit.steps, fit.batch, fit.optimiser, fit.learning_rate) == (21960, 5, "adam", 3e-4)


def test_the_memory_of_a_step_is_told_before_one_is_taken(example):
    """The loop asks for it: a sample has to be what the network takes."""
    from segmetry.train.bpartis_task import BPartISTask
    from segmetry.train.memory import step_memory
    from segmetry.train.options import published_fit

    task = BPartISTask([example])
    needed = step_memory(task.build(), task.sample(0), published_fit(1))
    assert 0.2e9 < needed.sample < 3e9


def test_the_loss_of_what_is_held_out_is_the_mean_over_its_samples():
    from segmetry.train.parts import mean_loss

    class Line:
        def loss(self, network, batch):
            assert batch["x"].shape[0] == 1, "a batch of one"
            return (network(batch["x"]) ** 2).sum(), {"x": batch["x"].sum()}

    samples = [{"x": np.array([x], np.float32)} for x in (1, 2, 6)]
    double = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.constant_(double.weight, 2.0)
    assert mean_loss(Line(), double, samples, torch.device("cpu")) == {"loss": round(4 * 41 / 3, 5), "x": 3.0}
    assert mean_loss(Line(), double, [], torch.device("cpu")) == {}


@pytest.mark.slow
def test_it_learns_the_image_that_it_is_shown(example, monkeypatch):
    from segmetry.train.bpartis_task import BPartISTask

    monkeypatch.setattr("segmetry.train.bpartis_data.augment", lambda sample, rng: sample)
    task = BPartISTask([example], [example])
    torch.manual_seed(0)
    network = task.build()
    optimiser = torch.optim.Adam(network.parameters(), lr=3e-3)
    losses = []
    for step in range(25):
        batch = {k: torch.from_numpy(v)[None] for k, v in task.sample(step).items()}
        batch |= {k: batch[k][..., ::2, ::2] for k in ("image", "labels")}  # a quarter of the work
        loss, parts = task.loss(network, batch)
        assert set(parts) == {"instance", "spread", "seed"}
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    assert np.mean(losses[-3:]) < 0.5 * losses[0]


@pytest.mark.slow
def test_a_model_folder_gives_what_torch_gives(example, tmp_path):
    from segmetry.io.model_folder import Card, write_model_folder
    from segmetry.nets.bpartis import BPartIS
    from segmetry.nets.export import export
    from segmetry.segment.bpartis import Bpartis, average_samples, cluster, squeeze
    from segmetry.segment.dropout import draw_keep
    from segmetry.segment.run import segment

    torch.manual_seed(0)
    network = BPartIS().eval()
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(weight.half())  # as the file stores them
        for norm in network.modules():
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_var.fill_(1 - norm.eps)  # folded into a convolution it leaves the weights as they are
        network.pointing.head.weight.normal_(0, 0.05).copy_(network.pointing.head.weight.half())
        network.pointing.head.bias[2:] = 0.45
        network.seed.head.bias[:] = 0.5
    made = export(network, channels=3)
    facts = {k: v for k, v in made.facts.items() if k in Card.__dataclass_fields__}
    card = Card(name="b", version="1", task="bpartis", normalisation={"kind": "unit"}, **facts)
    write_model_folder(tmp_path / "model", card, made.onnx)
    found = segment(example.pixels, Bpartis(model=str(tmp_path / "model"), samples=3, seed=2))
    image, keep = squeeze(example.pixels), draw_keep(network.dropout, 3, 2)
    with torch.inference_mode():
        maps = network(torch.from_numpy(image.copy())[None].expand(3, -1, -1, -1), torch.from_numpy(keep)).numpy()
    mean = average_samples(maps)
    ours = cluster(mean.maps)[1::2, 1::2]
    assert found.n_regions > 2
    assert ((ours > 0) != (found.labels > 0)).mean() < 1e-3
    assert found.uncertainty.max() > 1e-6
    np.testing.assert_allclose(found.uncertainty, mean.information[1::2, 1::2], atol=1e-4)
    np.testing.assert_allclose(found.probability, mean.probability[1::2, 1::2], atol=1e-4)
