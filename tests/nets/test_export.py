"""From torch to ONNX: equal within 1e-4, half the size, what it sees and needs measured right, tiles exact."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

import tiny_onnx  # noqa: E402
from torch import nn  # noqa: E402

from segmetry.errors import SegmetryError  # noqa: E402
from segmetry.io.card import Card  # noqa: E402
from segmetry.io.model_folder import write_model_folder  # noqa: E402
from segmetry.nets import export as module  # noqa: E402
from segmetry.nets.export import bytes_per_pixel, export, receptive_radius  # noqa: E402
from segmetry.nets.particle_net import ParticleNet  # noqa: E402
from segmetry.segment.dropout import draw_keep  # noqa: E402
from segmetry.segment.engine import load_model  # noqa: E402

pytestmark = pytest.mark.torch


def shaken(net, seed=0):
    """Return a network whose every number is random, also what batch norm has gathered."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.3, generator=generator)
                m.running_var.uniform_(0.5, 2, generator=generator)
                m.weight.uniform_(0.5, 1.5, generator=generator)
                m.bias.normal_(0, 0.3, generator=generator)
            elif isinstance(m, nn.Conv2d):
                fan = m.weight[0].numel()
                m.weight.normal_(0, fan**-0.5, generator=generator)
                if m.bias is not None:
                    m.bias.normal_(0, 0.1, generator=generator)
        net.head.weight *= 0.1  # offsets of a few pixels, as after training
    return net


def small(seed=0):
    """Return a ParticleNet of three levels and few channels: 4,000 weights, the same kinds of layers."""
    return shaken(ParticleNet(widths=(8, 16, 16), rate=0.3), seed)


@pytest.fixture(scope="module")
def made():
    return export(small())


class Plain(nn.Module):
    """A network without dropout made of given layers."""

    dropout = ()
    maps = ("a",)

    def __init__(self, *layers, stride=1, multiple=1):
        super().__init__()
        self.layers = nn.Sequential(*layers)
        self.stride, self.multiple = stride, multiple

    def forward(self, image, keep):
        return self.layers(image)


class TestRadius:
    """By hand: how far beyond its own block an output pixel sees."""

    @pytest.mark.parametrize(
        ("net", "radius"),
        [
            (Plain(nn.Conv2d(1, 1, 1)), 0),
            (Plain(nn.Conv2d(1, 1, 3, padding=1)), 1),
            (Plain(nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Conv2d(2, 1, 5, padding=2)), 3),
            (Plain(nn.Conv2d(1, 1, 3, padding=4, dilation=4)), 4),
            (Plain(nn.Conv2d(1, 1, (1, 7), padding=(0, 3))), 3),
            # Output i sees 2i - 2 .. 2i + 3, its block is 2i, 2i + 1.
            (Plain(nn.Conv2d(1, 1, 6, stride=2, padding=2), stride=2, multiple=2), 2),
            # Halved, a coarse pixel beside each, doubled: an even pixel sees 2 behind and 3 ahead.
            (Plain(nn.MaxPool2d(2), nn.Conv2d(1, 1, 3, padding=1), nn.Upsample(scale_factor=2), multiple=2), 3),
        ],
        ids=["1x1", "3x3", "3x3 and 5x5", "dilated", "wide", "strided", "pooled"],
    )
    def test_by_hand(self, net, radius):
        assert receptive_radius(net) == radius

    def test_a_weight_of_zero_counts(self):
        net = Plain(nn.Conv2d(1, 1, 9, padding=4))
        nn.init.zeros_(net.layers[0].weight)
        assert receptive_radius(net) == 4

    def test_the_whole_image(self, monkeypatch):
        monkeypatch.setattr(module, "_FARTHEST", 256)
        assert receptive_radius(Plain(nn.Conv2d(1, 4, 1), nn.GroupNorm(2, 4))) is None

    def test_the_network_is_left_as_it_was(self):
        net = small().train()
        before = {k: v.clone() for k, v in net.state_dict().items()}
        export(net)
        assert net.training
        assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())

    def test_of_particle_net_by_arithmetic(self):
        # Strides 2, 4, 8. Back from an output pixel: blocks of two convolutions reach 2 pixels of their stride, a map
        # that is enlarged comes from the coarse pixel that covers it, a strided convolution reaches 1 pixel farther.
        worst = 0
        for place in range(0, 8, 2):
            low, high = place - 4, place + 4  # first pixels of the farthest cells; the finest block
            low, high = low // 4 * 4 - 8, high // 4 * 4 + 8  # enlarged; block at stride 4
            low, high = low // 8 * 8 - 32, high // 8 * 8 + 32  # enlarged; bottom and encoder at stride 8
            low, high = low - 4 - 8 - 2, high + 4 + 8 + 2  # to stride 4; its encoder; to stride 2
            low, high = low - 2, high + 3  # stem
            worst = max(worst, place - low, high - (place + 1))
        assert receptive_radius(small()) == worst


class TestExport:
    def test_equal_to_torch(self, made):
        assert max(made.engine_difference.values()) <= 1e-4
        assert set(made.engine_difference) == set(made.rounding_difference) == set(ParticleNet.maps)
        assert made.example.maps.std(axis=(0, 2, 3)).min() > 0.01

    def test_rounding_is_small_and_real(self, made):
        # Rounding to 11 bits changes each weight by up to 2^-12 of itself.
        sd = dict(zip(ParticleNet.maps, made.example.maps.std(axis=(0, 2, 3)), strict=True))
        for name, d in made.rounding_difference.items():
            assert 0 < d < 0.01 * sd[name]

    def test_any_size_and_number_of_masks(self, made, tmp_path):
        card = Card("m", "1", "particles", **made.facts)
        write_model_folder(tmp_path / "m", card, made.onnx)
        model = load_model(tmp_path / "m")
        net = module._rounded(module._folded(small()))
        for shape, n in (((8, 8), 1), ((24, 56), 2), ((40, 16), 7)):
            image = np.random.default_rng(n).normal(size=shape).astype(np.float32)
            keep = draw_keep(card.dropout, n, 0)
            with torch.no_grad():
                expected = net(torch.from_numpy(image)[None, None], torch.from_numpy(keep)).numpy()
            assert np.abs(model.maps(image, keep) - expected).max() <= 1e-4

    def test_a_radius_that_is_known_is_not_measured(self, monkeypatch):
        monkeypatch.delattr(module, "receptive_radius")
        assert export(small(), radius=None).facts["receptive_radius"] is None

    def test_half_the_size_and_the_same_bytes_again(self, made):
        n = sum(p.numel() for p in small().parameters())
        assert len(made.onnx) < 2 * n + 16_000
        assert export(small()).onnx == made.onnx
        types = {t.data_type for t in onnx.load_from_string(made.onnx).graph.initializer if np.prod(t.dims) >= 256}
        assert types == {onnx.TensorProto.FLOAT16}
        assert "BatchNormalization" not in {n.op_type for n in onnx.load_from_string(made.onnx).graph.node}

    def test_a_weight_beyond_sixteen_bits(self):
        net = small()
        with torch.no_grad():
            net.head.weight[0] = 1e6
            net.bottom.first[0].weight.mul_(1e9)
        with pytest.raises(SegmetryError, match=r"bottom.first.0.weight holds weights that are .* beyond 16 bits"):
            export(net)

    def test_a_network_that_differs_is_refused(self, monkeypatch):
        real = module._run
        monkeypatch.setattr(module, "_run", lambda *a: real(*a) + np.float32(1e-3))
        with pytest.raises(SegmetryError, match=r"differs from torch by 0\.001, more than 0\.0001"):
            export(small())

    def test_a_network_without_dropout(self, tmp_path):
        exported = export(Plain(nn.Conv2d(2, 1, 3, padding=1)), channels=2)
        assert exported.facts["dropout"] == ()
        write_model_folder(tmp_path / "m", Card("m", "1", "classes", **exported.facts), exported.onnx)
        pixels = np.random.default_rng(0).normal(size=(2, 9, 14)).astype(np.float32)
        assert load_model(tmp_path / "m").maps(pixels).shape == (1, 9, 14)


def test_memory_by_hand():
    # One convolution of two maps at half the resolution, then the product with the mask, both alive beside the image:
    # 4 B + 2 * 4/4 B + 2 * 4/4 B, and the mask itself.
    assert bytes_per_pixel(tiny_onnx.tiny(tiny_onnx.weights()), 4, 2, 2) == pytest.approx(4 + 2 + 2, abs=0.1)


@pytest.mark.parametrize("shape", [(97, 131), (64, 200), (205, 66)])
def test_tiles_of_a_network_equal_the_whole(tmp_path, made, shape):
    write_model_folder(tmp_path / "m", Card("m", "1", "particles", **made.facts), made.onnx)
    model = load_model(tmp_path / "m")
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    keep = draw_keep(model.card.dropout, 2, 0)
    whole = model.maps(image, keep, tile=400)
    least = 2 * model.card.receptive_radius + 8 + 8
    for tile in (least, (least + 16, 400), (400, least + 8)):
        # The same sums; only a kernel that parts its work otherwise for another size may round apart.
        assert np.abs(model.maps(image, keep, tile=tile) - whole).max() <= 1e-5


@pytest.mark.slow
@pytest.mark.parametrize("shape", [(900, 1001), (1333, 700)])
def test_tiles_of_the_real_network_equal_the_whole(tmp_path, shape):
    exported = export(shaken(ParticleNet()))
    assert exported.facts["receptive_radius"] == 306
    write_model_folder(tmp_path / "m", Card("m", "1", "particles", **exported.facts), exported.onnx)
    model = load_model(tmp_path / "m")
    image = np.random.default_rng(1).normal(size=shape).astype(np.float32)
    keep = draw_keep(model.card.dropout, 1, 0)
    whole = model.maps(image, keep, tile=2000)
    for tile in (704, (800, 2000)):
        assert np.abs(model.maps(image, keep, tile=tile) - whole).max() <= 1e-5
