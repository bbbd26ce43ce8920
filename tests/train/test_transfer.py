"""A network begins where a model's folder ended: the same maps, other classes, channels, axes, or a clear refusal."""

import dataclasses
import importlib.util

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")


import segmetry.train.transfer as module  # noqa: E402
from segmetry.errors import OptionError, ReadError  # noqa: E402
from segmetry.io.model_folder import read_model_folder, shipped_models, write_model_folder  # noqa: E402
from segmetry.nets.export import ROUNDED, export  # noqa: E402
from segmetry.nets.planes import AlongAxes  # noqa: E402
from segmetry.nets.table import NETWORKS  # noqa: E402
from segmetry.segment.engine import load_model  # noqa: E402
from segmetry.train.augment import AugmentOptions  # noqa: E402
from segmetry.train.class_task import ClassTask  # noqa: E402
from segmetry.train.loop import fit  # noqa: E402
from segmetry.train.losses import Loss  # noqa: E402
from segmetry.train.options import FitOptions  # noqa: E402
from segmetry.train.running import Running  # noqa: E402
from segmetry.train.samples import Labelled, Normalisation, SampleOptions, Samples  # noqa: E402
from segmetry.train.transfer import inflate, starting_weights, stored_weights  # noqa: E402

pytestmark = pytest.mark.torch

AREAS = ("air", "grain", "rim")
THIN = {"width": 4, "depth": 2}


def task(network="unet", classes=AREAS, *, options=THIN, channels=1, coordinates=False, shape=(64, 64), loss=None):
    """Return a task on one image of noise; volumes where the shape has three axes."""
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((channels, *shape)).astype(np.float32)
    image = Labelled("noise", "noise", pixels, rng.integers(0, len(classes), shape).astype(np.uint8))
    side = NETWORKS[network].build(channels, ("a",), NETWORKS[network].options.from_options(options)).multiple
    samples = Samples(
        [image],
        Normalisation.measured([image]),
        options=SampleOptions(side=max(32, side), planes=8, coordinates=coordinates),
        augment=AugmentOptions(),
    )
    loss = Loss.from_dict(loss or {"cross-entropy": 1})
    return ClassTask(samples, [], classes, network=network, options=options, loss=loss)


def shaken(net, seed=0):
    """Return a network whose numbers are random, batch norms too, with features of order one."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in net.state_dict().items():
            if name.endswith(("running_var", "weight")) and value.ndim == 1:
                value.uniform_(0.5, 1.5, generator=generator)
            elif value.ndim == 1:
                value.normal_(0, 0.3, generator=generator)
            elif value.ndim > 1:
                value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=generator)
    return net


def trained(path, made):
    """Write the folder of a model that stands for a trained one, and return it with its network."""
    net = shaken(made.build()).eval()
    exported = export(net, channels=made.card.channels, n_axes=len(made.card.axes))
    card = dataclasses.replace(made.card, architecture=made.network, options=made.options, name="old", **exported.facts)
    write_model_folder(path, card, exported.onnx)
    return path, net


def begun(folder, made):
    """Return the record of a start, and the network that begins there."""
    start = starting_weights(folder, made)
    made.start = start.weights
    return start.record, made.build().eval()


@pytest.fixture(scope="module")
def unet(tmp_path_factory):
    return trained(tmp_path_factory.mktemp("transfer") / "unet", task())


def maps(net, image):
    with torch.no_grad():
        return net(image, torch.ones(1, sum(width for width, _ in net.dropout)))


VARIANTS = [
    *((name, dict(NETWORKS[name].thin)) for name in NETWORKS),
    ("unet", THIN | {"norm": "group"}),
    ("unet", THIN | {"norm": "none", "kernel": 5, "rate": 0.2}),
    ("unet", {"encoder": "resnet18", "depth": 3, "width": 4}),
    ("deeplabv3+", {"encoder": "tu-xception41", "width": 4, "decoder": 8}),
]


@pytest.mark.slow
@pytest.mark.parametrize(("network", "options"), VARIANTS, ids=lambda v: v if isinstance(v, str) else None)
def test_the_same_network_gives_the_maps_of_the_folder(tmp_path, network, options):
    if "encoder" in options and importlib.util.find_spec("segmentation_models_pytorch") is None:
        pytest.skip("segmentation-models-pytorch is not installed")
    made = task(network, options=options, shape=(64,) * (2 if NETWORKS[network].axes == "YX" else 3))
    folder, _ = trained(tmp_path / "old", made)
    record, net = begun(folder, made)
    assert record["new"] == {}
    if "encoder" not in options:  # those of a library have stages that a shallow network does not use
        assert sum(record["kept"].values()) == sum(p.numel() for p in net.parameters())
    assert record["sha256"] == read_model_folder(folder).card.sha256
    side = max(64, made.card.multiple) if net.n_axes == 2 else 32
    image = torch.randn(1, 1, *(side,) * net.n_axes, generator=torch.Generator().manual_seed(1))
    old = next(iter(load_model(folder).run(image.numpy(), np.ones((1, made.card.n_keep), np.float32))))
    # Sums of 32 bits in another order: some 6 digits, and deep networks amplify them.
    assert np.abs(maps(net, image).numpy() - old).max() < 1e-4 * max(1.0, np.abs(old).max())


def test_training_begins_at_nearly_the_same_function(unet):
    """On the images that the statistics were measured on, batch norms do in training what they do in evaluation."""
    made = task()
    _, net = begun(unet[0], made)
    images = torch.from_numpy(np.stack([made.sample(i)["image"] for i in range(module.N_MEASURED)]))
    still = maps(net, images)
    moving = maps(net.train(), images)
    assert (still - moving).abs().max() < 1e-3 * still.std()
    untouched = maps(task().build().train(), images)
    assert (still - untouched).std() > 0.3 * still.std()


def test_statistics_are_those_of_the_samples(unet):
    """By hand: what the first convolution makes of the samples, in numpy's mean and variance."""
    made = task()
    _, net = begun(unet[0], made)
    first = net.encoder.levels[0][0]
    images = torch.from_numpy(np.stack([made.sample(i)["image"] for i in range(module.N_MEASURED)]))
    z = first[0](images).detach().numpy()
    np.testing.assert_allclose(first[1].running_mean.numpy(), z.mean(axis=(0, 2, 3)), atol=1e-5)
    np.testing.assert_allclose(first[1].running_var.numpy(), z.var(axis=(0, 2, 3)), rtol=1e-4)


def test_other_classes_get_a_new_head(unet):
    four = task(classes=("a", "b", "c", "d"))
    record, net = begun(unet[0], four)
    assert set(record["kept"]) == {"encoder", "decoder"}
    assert record["new"] == {"head": 4 * (4 + 1)}
    image = torch.randn(1, 1, 64, 64)
    keep = torch.ones(1, 0)
    with torch.no_grad():
        new, old = net.features(image, keep)[0], unet[1].features(image, keep)[0]
    # The folder's weights were rounded to 16 bits.
    assert (new - old).abs().max() < ROUNDED * old.std()
    assert not torch.equal(four.build().head.weight, four.build().head.weight)  # random, so of no model


def test_as_many_maps_of_other_meaning_are_no_head(unet):
    """Three classes have three maps; two classes with a distance have two: other heads, though the trunk is one."""
    folder, _ = unet
    with_distance = task(loss={"cross-entropy": 1, "distance": 1})
    record, _ = begun(folder, with_distance)
    assert list(record["new"]) == ["head"]


def test_channels_that_are_equal_give_the_old_response(unet):
    record, net = begun(unet[0], task(channels=3))
    assert record["changed"] == ["1 channels and 0 for the place"]
    image = torch.randn(1, 1, 64, 64)
    old = maps(unet[1], image)
    assert (maps(net, image.expand(-1, 3, -1, -1)) - old).abs().max() < ROUNDED * old.std()


def test_three_channels_become_two(tmp_path):
    folder, old = trained(tmp_path / "rgb", task(channels=3))
    _, net = begun(folder, task(channels=2))
    image = torch.randn(1, 1, 64, 64)
    wanted = maps(old, image.expand(-1, 3, -1, -1))
    assert (maps(net, image.expand(-1, 2, -1, -1)) - wanted).abs().max() < ROUNDED * wanted.std()


def test_channels_for_the_place_are_not_mixed_with_those_of_the_image(tmp_path, unet):
    """They begin at 0 where the model had none; a model of one channel and the place is none of three channels."""
    record, net = begun(unet[0], task(coordinates=True))
    image = torch.randn(1, 1, 64, 64)
    old = maps(unet[1], image)
    assert (maps(net, torch.cat([image, torch.randn(1, 2, 64, 64)], dim=1)) - old).abs().max() < ROUNDED * old.std()
    folder, placed = trained(tmp_path / "placed", task(coordinates=True))
    record, net = begun(folder, task(channels=3))
    assert record["changed"] == ["1 channels and 2 for the place"]
    wanted = maps(placed, torch.cat([image, torch.zeros(1, 2, 64, 64)], dim=1))
    assert (maps(net, image.expand(-1, 3, -1, -1)) - wanted).abs().max() < ROUNDED * wanted.std()


def test_a_volume_of_equal_planes_gives_what_the_plane_gave(unet):
    """The law of inflation, in every plane, the outer ones too."""
    record, net = begun(unet[0], task("unet3d", shape=(16, 64, 64)))
    assert record["changed"] == ["2D to 3D"]
    assert record["new"] == {}
    image = torch.randn(1, 1, 64, 64)
    old = maps(unet[1], image)
    new = maps(net, image[:, :, None].expand(-1, -1, 8, -1, -1))
    assert (new - old[:, :, None]).abs().max() < ROUNDED * old.std()


def test_a_network_run_along_three_axes_is_the_one_inside(tmp_path, unet):
    exported = export(AlongAxes(unet[1]), n_axes=3)
    card = dataclasses.replace(read_model_folder(unet[0]).card, axes="ZYX", **exported.facts)
    write_model_folder(tmp_path / "along", card, exported.onnx)
    record, net = begun(tmp_path / "along", task())
    assert (record["new"], record["changed"]) == ({}, [])
    image = torch.randn(1, 1, 64, 64)
    old = maps(unet[1], image)
    assert (maps(net, image) - old).abs().max() < ROUNDED * old.std()


def test_a_kernel_is_inflated_by_hand():
    out = inflate(torch.tensor([[[[1.0, 2], [3, 4]]]]), 3)
    assert out.tolist() == [[[[[0, 0], [0, 0]], [[1, 2], [3, 4]], [[0, 0], [0, 0]]]]]


def test_another_decoder_is_new(unet):
    record, net = begun(unet[0], task("unet++", options=THIN))
    assert set(record["kept"]) == {"encoder"}
    assert set(record["new"]) == {"decoder", "head"}
    image = torch.randn(1, 1, 64, 64)
    with torch.no_grad():
        for new, old in zip(net.encoder(image), unet[1].encoder(image), strict=True):
            assert (new - old).abs().max() < ROUNDED * old.std()


@pytest.mark.parametrize(
    ("network", "options", "said"),
    [
        ("unet", {"width": 8, "depth": 2}, r"encoder.levels.0.0.0.weight is \(4, 1, 3, 3\) there, \(8, 1, 3, 3\) here"),
        ("unet", {"width": 4, "depth": 3}, "encoder.levels.3.0.0.weight is missing there"),
        ("unet", THIN | {"norm": "group"}, "encoder.levels.0.0.1.weight is missing there"),
        ("segnet", {"width": 4}, "the same encoder: unet with width: 4, depth: 2"),
    ],
)
def test_an_encoder_that_does_not_fit_is_refused(unet, network, options, said):
    with pytest.raises(OptionError, match=said):
        starting_weights(unet[0], task(network, options=options))


@pytest.mark.slow
def test_the_particle_network_is_a_start_for_the_same_trunk():
    """The model that comes along was trained on many images: its trunk is that of `unet-half`."""
    record, net = begun(shipped_models()["particles"], task("unet-half", options={}))
    assert set(record["kept"]) == {"encoder", "decoder"}
    stored = stored_weights(read_model_folder(shipped_models()["particles"]))
    assert torch.equal(net.decoder.up[0].weight, stored["up.0.weight"])
    assert torch.equal(net.encoder.stem[0].weight, stored["stem.0.weight"])


def test_a_frozen_encoder_stays_that_of_the_folder(unet, tmp_path):
    made = task()
    start = starting_weights(unet[0], made)
    made.start = start.weights
    options = FitOptions(steps=3, batch=2, freeze=-1, warmup=0, average=0.0, learning_rate=1e-2, precision="32-true")
    net = fit(made, options, tmp_path / "frozen", Running(0)).state_dict()
    same = {name: torch.equal(net[name], tensor) for name, tensor in start.weights.items()}
    assert all(same[name] for name in same if name.startswith("encoder."))
    assert not any(same[name] for name in same if name.startswith("decoder.") and net[name].ndim > 1)
    thawed = dataclasses.replace(options, freeze=2)
    net = fit(made, thawed, tmp_path / "thawed", Running(0)).state_dict()
    assert not torch.equal(net["encoder.levels.0.0.0.weight"], start.weights["encoder.levels.0.0.0.weight"])


class TestHostile:
    """The hash is no help: whoever writes the file writes the card."""

    def write(self, unet, tmp_path, change):
        model = read_model_folder(unet[0])
        graph = onnx.load_from_string(model.onnx)
        change(graph)
        write_model_folder(tmp_path / "bad", model.card, graph.SerializeToString())
        return tmp_path / "bad"

    def test_no_network(self, unet, tmp_path):
        write_model_folder(tmp_path / "bad", read_model_folder(unet[0]).card, b"\xffnot a graph")
        with pytest.raises(ReadError, match="is no network"):
            starting_weights(tmp_path / "bad", task())

    def test_a_damaged_file(self, unet, tmp_path):
        card, content = read_model_folder(unet[0])[1:]
        write_model_folder(tmp_path / "bad", card, content)
        (tmp_path / "bad" / "model.onnx").write_bytes(content[:-1])
        with pytest.raises(ReadError, match="is damaged"):
            starting_weights(tmp_path / "bad", task())

    def test_weights_in_another_file(self, unet, tmp_path):
        def change(graph):
            weight = graph.graph.initializer[0]
            onnx.external_data_helper.set_external_data(weight, "/etc/hostname")
            weight.ClearField("raw_data")
            weight.data_location = onnx.TensorProto.EXTERNAL

        with pytest.raises(ReadError, match="in another file"):
            starting_weights(self.write(unet, tmp_path, change), task())

    def test_a_tensor_larger_than_what_is_in_the_file(self, unet, tmp_path):
        def change(graph):
            graph.graph.initializer[0].dims[0] = 2**40

        with pytest.raises(ReadError, match="is no network"):
            starting_weights(self.write(unet, tmp_path, change), task())

    def test_numbers_that_are_none(self, unet, tmp_path):
        def change(graph):
            weight = next(w for w in graph.graph.initializer if w.name == "head.bias")
            weight.CopyFrom(onnx.numpy_helper.from_array(np.array([0, np.nan, 1], np.float32), "head.bias"))

        with pytest.raises(ReadError, match=r"head\.bias holds numbers that are not finite"):
            starting_weights(self.write(unet, tmp_path, change), task())

    def test_a_network_without_its_layers(self, unet, tmp_path):
        def change(graph):
            del graph.graph.initializer[:]
            del graph.graph.node[:]

        with pytest.raises(OptionError, match="0 of 30 tensors do"):
            starting_weights(self.write(unet, tmp_path, change), task())
