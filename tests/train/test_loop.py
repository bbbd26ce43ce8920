"""The training loop: it learns, and a run that was stopped goes on as if it had not been."""

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from segmetry.errors import OptionError, ReadError, SegmetryError  # noqa: E402
from segmetry.train import memory  # noqa: E402
from segmetry.train.checkpoint import load_arrays, save_arrays  # noqa: E402
from segmetry.train.crops import CropOptions, Crops  # noqa: E402
from segmetry.train.data import Example  # noqa: E402
from segmetry.train.log import LOG, read_log, time_taken  # noqa: E402
from segmetry.train.looks import LOOKS  # noqa: E402
from segmetry.train.loop import LAST, fit  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402
from segmetry.train.particle_task import ParticleTask  # noqa: E402
from segmetry.train.running import Running  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(scope="module")
def task():
    """Four disks on noise, a small network."""
    rng = np.random.default_rng(0)
    labels = np.zeros((96, 96), np.uint16)
    rows, cols = np.mgrid[:96, :96]
    for k, centre in enumerate(((20, 20), (30, 70), (70, 30), (72, 72)), 1):
        labels[(rows - centre[0]) ** 2 + (cols - centre[1]) ** 2 < 14**2] = k
    pixels = (60 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape)).astype(np.uint8)
    options = CropOptions(side=64, normalised=0, zoom=(0.8, 1.2), invert=0, blur=0, noise=0, shade=0, text=0)
    crops = Crops([Example("disks", "one", pixels, labels)], options=options)
    return ParticleTask(crops, crops, widths=(8, 16, 16))


def options(steps, **more):
    return FitOptions(steps=steps, batch=4, warmup=5, average=0.9, precision="32-true", **more)


def losses(folder):
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [(e["step"], e["loss"]) for e in lines if "loss" in e]


def quietly(*args, **more):
    """Fit without a word: a loader of no workers on a machine of many cores is meant here."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return fit(*args, Running(0), **more)


@pytest.mark.slow
def test_a_stopped_run_goes_on_exactly(task, tmp_path):
    whole = quietly(task, options(8), tmp_path / "whole")
    quietly(task, options(8), tmp_path / "parts", stop_after=3)
    assert int(load_arrays(tmp_path / "parts" / LAST)["step"]) == 3
    parts = quietly(task, options(8), tmp_path / "parts")
    for (name, a), b in zip(whole.state_dict().items(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    a, b = (load_arrays(tmp_path / run / LAST) for run in ("whole", "parts"))
    assert a.keys() == b.keys()
    assert all(torch.equal(a[k], b[k]) for k in a)
    # The loss of the steps after the stop is logged alike.
    (first, last), (three, rest) = losses(tmp_path / "whole")[-1], losses(tmp_path / "parts")[-1]
    assert first == three == 8
    assert last > 0
    assert rest > 0


def test_time_is_that_of_each_step_once(tmp_path):
    """Killed at step 30, on from step 20."""
    lines = [
        {"step": 20, "loss": 1.0, "samples_per_s": 8.0},
        {"step": 20, "check": {"loss": 1.0}},
        {"step": 30, "loss": 1.0, "samples_per_s": 8.0},
        {"step": 40, "loss": 1.0, "samples_per_s": 2.0},
        {"step": 60, "loss": 1.0, "samples_per_s": 8.0},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / LOG).write_text(f'{text}\n{{"step": 7')
    # Steps 21 to 30 at the pace of the piece that was lost.
    assert time_taken(tmp_path, 4) == pytest.approx(10 + 5 + 20 + 10)
    (tmp_path / LOG).write_text(f'{{"step": 3{chr(10)}{text}')
    assert time_taken(tmp_path, 4) == pytest.approx(45)


@pytest.mark.slow
def test_it_learns_four_disks(task, tmp_path):
    before = task.check(task.build().eval(), torch.device("cpu"))
    network = quietly(task, options(150, learning_rate=5e-3), tmp_path)
    after = task.check(network, torch.device("cpu"))
    assert after["instance"] < 0.35 * before["instance"]
    assert after["seed"] < 0.5 * before["seed"]


def test_checkpoints_are_no_pickles(tmp_path):
    save_arrays(tmp_path / "a.npz", {"x": torch.arange(3.0), "y/z": torch.tensor(4)})
    back = load_arrays(tmp_path / "a.npz")
    assert back["x"].tolist() == [0, 1, 2]
    assert int(back["y/z"]) == 4
    np.savez(tmp_path / "b.npz", x=np.array([{}], dtype=object))
    with pytest.raises(ReadError):
        load_arrays(tmp_path / "b.npz")
    whole = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "b.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ReadError, match="start again"):
        load_arrays(tmp_path / "b.npz")


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"steps": 0}, "steps"),
        ({"schedule": "cosin"}, "cosine"),
        ({"average": 1.0}, "average"),
        ({"batch": 0}, "batch"),
    ],
)
def test_bad_options_are_told(change, word):
    with pytest.raises(OptionError, match=word):
        FitOptions(**change)


class Line:
    """A task without images: a weight that should become the slope of a line, and scores that a test sets."""

    def __init__(self, scores=(), slope=3.0):
        self.scores, self.slope, self.checks = list(scores), slope, 0

    def build(self):
        network = torch.nn.Module()
        network.encoder, network.head = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
        network.forward = lambda x: network.head(network.encoder(x))
        return network

    def sample(self, number):
        x = np.random.default_rng(number).uniform(-1, 1, 1).astype(np.float32)
        return {"x": x, "y": np.float32(self.slope) * x}

    def loss(self, network, batch):
        loss = ((network(batch["x"]) - batch["y"]) ** 2).mean()
        return loss, {}

    def check(self, network, device):
        self.checks += 1
        return {"score": self.scores[self.checks - 1]} if self.scores else {}


def checks(folder):
    lines = [json.loads(line) for line in (folder / LOG).read_text().splitlines()]
    return [e["step"] for e in lines if "check" in e]


def test_the_best_weights_are_kept_and_can_become_the_model(tmp_path):
    scores = [0.1, 0.9, 0.3, 0.2]
    for keep in ("last", "best"):
        found = quietly(Line(scores), options(8, check_every=2, keep=keep), tmp_path / keep)
        best, last = (load_arrays(tmp_path / keep / name) for name in ("best.npz", LAST))
        want = best["head.weight"] if keep == "best" else last["average/head.weight"]
        assert torch.equal(found.head.weight, want)
        assert not torch.equal(best["head.weight"], last["average/head.weight"])
    at_four = quietly(Line(scores), options(8, check_every=2), tmp_path / "stopped", stop_after=4)
    assert torch.equal(at_four.head.weight, best["head.weight"])
    assert checks(tmp_path / "best") == [2, 4, 6, 8]


class Looker(Line):
    """A line whose checks also keep a look."""

    def check(self, network, device):
        return {"score": 0.5, "looks": {"a": np.full((2, 3), 1, np.uint8)}}


def test_checks_keep_their_looks_and_cost_once_each(tmp_path):
    """Killed after the check of step 4 was written and before its state was."""
    quietly(Looker(), options(6, check_every=2), tmp_path, stop_after=2)
    before = (tmp_path / LAST).read_bytes()
    quietly(Looker(), options(6, check_every=2), tmp_path, stop_after=4)
    (tmp_path / LAST).write_bytes(before)
    quietly(Looker(), options(6, check_every=2), tmp_path)
    assert checks(tmp_path) == [2, 4, 4, 6]
    assert sorted(path.name for path in (tmp_path / LOOKS).iterdir()) == ["000002.npz", "000004.npz", "000006.npz"]
    log = read_log(tmp_path)
    assert [entry["step"] for entry in log.checks] == [entry["step"] for entry in log.training] == [2, 4, 6]
    assert all(entry["check"] == {"score": 0.5} and entry["seconds"] >= 0 for entry in log.checks)
    assert [entry["step"] for entry in log.starts] == [0, 2, 2]
    assert all(entry["device"].startswith("cpu, 1 thread") for entry in log.starts)


class Events:
    """What TensorBoard would be told."""

    def __init__(self):
        self.told, self.closed = [], False

    def add_scalar(self, *told):
        self.told.append(told)

    def flush(self):
        pass

    def close(self):
        self.closed = True


def test_tensorboard_is_told_what_the_log_says(tmp_path, monkeypatch):
    events, begun = Events(), []
    monkeypatch.setattr("segmetry.train.log._events", lambda folder, step: begun.append((folder, step)) or events)
    quietly(Line([0.5, 0.75]), options(4, check_every=2), tmp_path)
    assert begun == [(tmp_path, 0)]
    assert events.closed
    log = read_log(tmp_path)
    assert [told[1:] for told in events.told if told[0] == "training/loss"] == [
        (e["loss"], e["step"]) for e in log.training
    ]
    assert [told[1:] for told in events.told if told[0] == "held-out/score"] == [(0.5, 2), (0.75, 4)]
    assert {told[0] for told in events.told} >= {"training/rate", "training/samples_per_s"}


def test_tensorboard_reads_what_was_written(tmp_path):
    """The events of a run that was killed after step 4, on from step 2."""
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    quietly(Line([0.5, 0.1]), options(6, check_every=2), tmp_path, stop_after=2)
    before = (tmp_path / LAST).read_bytes()
    quietly(Line([0.1]), options(6, check_every=2), tmp_path, stop_after=4)
    (tmp_path / LAST).write_bytes(before)
    quietly(Line([0.75, 0.8]), options(6, check_every=2), tmp_path)
    read = reader.EventAccumulator(str(tmp_path))
    read.Reload()
    assert [(e.step, round(e.value, 6)) for e in read.Scalars("held-out/score")] == [(2, 0.5), (4, 0.75), (6, 0.8)]


def test_a_run_ends_where_the_score_rises_no_more_and_stays_ended(tmp_path):
    fit_options = options(100, check_every=5, patience=3)
    quietly(Line([0.1, 0.5, 0.4, 0.5, 0.2, 0.9]), fit_options, tmp_path)
    assert checks(tmp_path) == [5, 10, 15, 20, 25]
    quietly(Line([0.9]), fit_options, tmp_path)
    assert checks(tmp_path) == [5, 10, 15, 20, 25]


def test_a_plateau_halves_the_rate_also_after_a_stop(tmp_path):
    fit_options = options(12, check_every=2, schedule="plateau", plateau=2, learning_rate=0.1)
    scores = [0.5, 0.4, 0.3, 0.2, 0.1, 0.0]
    quietly(Line(scores), fit_options, tmp_path / "whole")
    quietly(Line(scores[:3]), fit_options, tmp_path / "parts", stop_after=6)
    parts = quietly(Line(scores[3:]), fit_options, tmp_path / "parts")
    rates = [json.loads(line) for line in (tmp_path / "whole" / LOG).read_text().splitlines()]
    rates = {e["step"]: e["rate"] for e in rates if "rate" in e}
    assert rates[8] == pytest.approx(0.05)
    assert rates[12] == pytest.approx(0.025)
    whole = load_arrays(tmp_path / "whole" / LAST)
    assert torch.equal(parts.head.weight, whole["average/head.weight"])


@pytest.mark.parametrize(("freeze", "stands"), [(-1, True), (10, True), (4, False)])
def test_a_frozen_encoder_stands_still(tmp_path, freeze, stands):
    torch.manual_seed(0)
    start = Line().build().encoder.weight.clone()
    quietly(Line(), options(10, freeze=freeze), tmp_path)
    assert torch.equal(load_arrays(tmp_path / LAST)["weights/encoder.weight"], start) == stands


def test_a_loss_that_is_no_number_ends_the_run_and_spoils_nothing(tmp_path):
    fit_options = options(20, check_every=5)
    quietly(Line(), fit_options, tmp_path, stop_after=5)
    before = (tmp_path / LAST).read_bytes()
    with pytest.raises(SegmetryError, match=r"not finite by step 10; .*last good state"):
        quietly(Line(slope=float("nan")), fit_options, tmp_path)
    assert (tmp_path / LAST).read_bytes() == before
    assert all(json.loads(line) for line in (tmp_path / LOG).read_text().splitlines())


def test_too_little_memory_is_said_before_a_step(task, tmp_path, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda device: 1e6)
    with pytest.raises(OptionError, match=r"a step on 4 samples of 64 × 64 px takes about .* 0.001 GB are free here"):
        quietly(task, options(8), tmp_path)
    assert not (tmp_path / LOG).exists()
