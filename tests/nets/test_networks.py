"""Networks for classes: counts by hand and from papers, reach by arithmetic, ONNX equal to torch, overfitting."""

from __future__ import annotations

import importlib.util
from itertools import pairwise

import numpy as np
import pytest

pytestmark = pytest.mark.torch
torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import nn  # noqa: E402
from torch.nn import functional  # noqa: E402

from segmetry.errors import OptionError  # noqa: E402
from segmetry.nets import export as exporting  # noqa: E402
from segmetry.nets.encoders import PlainEncoder, build_encoder  # noqa: E402
from segmetry.nets.export import export, receptive_radius  # noqa: E402
from segmetry.nets.planes import AlongAxes  # noqa: E402
from segmetry.nets.pspnet import BINS, averaging  # noqa: E402
from segmetry.nets.segnet import pool, unpool  # noqa: E402
from segmetry.nets.table import NETWORKS, build_network, count_parameters, operations_per_pixel  # noqa: E402
from segmetry.nets.unet import UNetDecoder  # noqa: E402
from segmetry.nets.vision import import_torchvision  # noqa: E402
from segmetry.segment.dropout import draw_keep  # noqa: E402

needs_library = pytest.mark.skipif(
    importlib.util.find_spec("segmentation_models_pytorch") is None,
    reason="segmentation-models-pytorch is not installed",
)
ENCODERS = ("resnet18", "vgg11_bn", "inceptionv4", "xception", "tu-xception41")


def thin(name, **options):
    """Return a network of few channels: two channels in, three maps."""
    torch.manual_seed(0)
    return build_network(name, channels=2, maps=("a", "b", "c"), options=dict(NETWORKS[name].thin) | options)


def keep_of(net, n=1):
    return torch.ones(n, sum(width for width, _ in net.dropout))


def settled(net, channels=2):
    """Return a network as after training: batch norms know an image, logits are of order one; in evaluation."""
    norms = [m for m in net.train().modules() if isinstance(m, nn.BatchNorm2d | nn.BatchNorm3d)]
    for m in norms:
        m.momentum = 1.0
    image, _ = exporting._example(channels, net.n_axes, net.multiple * 2, ())
    with torch.no_grad():
        net(torch.from_numpy(np.concatenate([image] * 2)), keep_of(net, 2))
        spread = net.eval()(torch.from_numpy(image), keep_of(net)).std()
        for weight in net.head.parameters():
            weight /= spread  # logits of order one
    return net


def conv(n_in, n_out, size=3, bias=False, norm=True, axes=2):
    """Return the parameters of a convolution, by hand."""
    return n_in * n_out * size**axes + n_out * bias + 2 * n_out * norm


def pairs_of_unet(channels, depth, width, size=3, bias=False, norm=True, axes=2):
    """Return the parameters of a U-Net without its head, by hand."""
    kinds = {"size": size, "bias": bias, "norm": norm, "axes": axes}
    widths = [width * 2**i for i in range(depth + 1)]
    down = sum(conv(a, b, **kinds) + conv(b, b, **kinds) for a, b in zip([channels, *widths], widths))
    return down + sum(conv(3 * a, a, **kinds) + conv(a, a, **kinds) for a in widths[:-1])


class TestEvery:
    """Laws that hold for each row of the table."""

    @pytest.mark.parametrize("rate", [0.0, 0.3])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_contract(self, name, rate):
        net = thin(name, rate=rate).eval()
        assert (net.maps, net.stride, net.n_axes) == (("a", "b", "c"), 1, len(NETWORKS[name].axes))
        assert {n.partition(".")[0] for n in net.state_dict()} == {"encoder", "decoder", "head"}
        assert bool(net.dropout) == bool(rate)
        assert not any("Dropout" in type(m).__name__ for m in net.modules())
        sides = [net.multiple * k for k in (2, 1, 1)][: net.n_axes]
        for n_images, n_masks in ((2, 2), (2, 1), (1, 3)):
            keep = keep_of(net, n_masks)
            with torch.inference_mode():
                maps = net(torch.randn(n_images, 2, *sides), keep)
            n = max(n_images, n_masks) if rate else n_images
            assert maps.shape == (n, 3, *sides)
            assert maps.isfinite().all()

    @pytest.mark.parametrize("name", NETWORKS)
    def test_the_mask_is_all_the_chance_there_is(self, name):
        net = settled(thin(name, rate=0.4))
        image = torch.randn(1, 2, *(2 * net.multiple,) * net.n_axes)
        keep = torch.from_numpy(draw_keep(net.dropout, 3, 0))
        with torch.inference_mode():
            many, again = net(image, keep), net(image, keep)
            alone = net(image, keep[1:2])
        assert torch.equal(many, again)
        torch.testing.assert_close(many[1:2], alone, atol=1e-4, rtol=1e-4)
        assert (many[0] - many[1]).abs().max() > 1e-3

    @pytest.mark.parametrize("name", NETWORKS)
    def test_gradients_reach_every_weight(self, name):
        net = thin(name).train()
        maps = net(torch.randn(2, 2, *(2 * net.multiple,) * net.n_axes), keep_of(net))
        sum(m.square().mean() for m in (maps if isinstance(maps, tuple) else (maps,))).backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())

    @pytest.mark.slow
    @pytest.mark.parametrize("rate", [0.0, 0.3])
    @pytest.mark.parametrize("name", NETWORKS)
    def test_onnx_gives_what_torch_gives(self, name, rate):
        check_export(settled(thin(name, rate=rate)))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"pspnet", "deeplabv3+"}))
    def test_a_shift_of_the_image_shifts_the_maps(self, name):
        # By a multiple of the coarsest stride; away from the frame, as far as the network sees.
        net = settled(thin(name, **({"depth": 2} if name != "segnet" else {})))
        reach = receptive_radius(net, channels=2, n_axes=net.n_axes) + net.multiple
        sides = (2 * reach // net.multiple * net.multiple + 3 * net.multiple, *(net.multiple,) * (net.n_axes - 1))
        image = torch.randn(1, 2, *sides)
        with torch.inference_mode():
            here = net(image, keep_of(net))
            there = net(image.roll(net.multiple, 2), keep_of(net))
        inner = slice(reach, sides[0] - reach - net.multiple)
        moved = slice(reach + net.multiple, sides[0] - reach)
        assert here[:, :, inner].numel() > 0
        torch.testing.assert_close(here[:, :, inner], there[:, :, moved], atol=1e-4, rtol=1e-4)

    @pytest.mark.parametrize("name", sorted(set(NETWORKS) - {"unet-half", "segnet"}))
    def test_flipped_weights_flip_the_maps(self, name):
        # Every layer is as it looks in a mirror: with kernels mirrored, the mirrored image gives the mirrored maps.
        # (A half network's strided convolutions of 3 px lie to one side; SegNet takes the first of equals.)
        net = settled(thin(name))
        image = torch.randn(1, 2, *(2 * net.multiple,) * net.n_axes)
        with torch.inference_mode():
            expected = net(image, keep_of(net)).flip(-1)
            for m in net.modules():
                if isinstance(m, nn.Conv2d | nn.Conv3d | nn.ConvTranspose2d):
                    m.weight.copy_(m.weight.flip(-1))
            torch.testing.assert_close(net(image.flip(-1), keep_of(net)), expected, atol=1e-4, rtol=1e-4)

    @pytest.mark.slow
    @pytest.mark.parametrize("name", NETWORKS)
    def test_four_crops_are_learned_by_heart(self, name):
        torch.manual_seed(1)
        n_axes = len(NETWORKS[name].axes)
        side, n = (64, 4) if n_axes == 2 else (32, 2)
        images, truth = disks(n, side, n_axes)
        thicker = {"width": 8} | ({"decoder": 32} if "decoder" in NETWORKS[name].thin else {})
        net = build_network(name, channels=1, maps=("disk",), options=thicker)
        optimiser = torch.optim.Adam(net.parameters(), 3e-3)
        for _ in range(150):
            optimiser.zero_grad()
            maps = net.train()(images, keep_of(net))
            maps = maps if isinstance(maps, tuple) else (maps,)
            sum(functional.binary_cross_entropy_with_logits(m[:, 0], truth) for m in maps).backward()
            optimiser.step()
        with torch.inference_mode():
            found = net.eval()(images, keep_of(net))[:, 0] > 0
        assert (found & (truth > 0)).sum() / (found | (truth > 0)).sum() > 0.95


def check_export(net):
    """Assert that ONNX Runtime gives what torch gives, at sizes, numbers of images and masks that were not traced."""
    made = export(net, channels=2, n_axes=net.n_axes)
    stored = exporting._folded(net)
    if made.rounding_difference != made.engine_difference:  # else 16 bits were too few for so few channels
        stored = exporting._rounded(stored)
    m = net.multiple
    for n_images, n_masks, sides in ((1, 1, (m, 3 * m, m)), (2, 2, (2 * m, m, 2 * m)), (1, 3, (m, m, 3 * m))):
        image = np.random.default_rng(0).normal(size=(n_images, 2, *sides[: net.n_axes])).astype(np.float32)
        keep = draw_keep(net.dropout, n_masks, 1)
        with torch.inference_mode():
            expected = stored(torch.from_numpy(image), torch.from_numpy(keep)).numpy()
        # Sums in 32 bits: four digits of a logit, or 1e-4 of small ones.
        assert np.abs(exporting._run(made.onnx, image, keep) - expected).max() < 1e-4 * max(1, expected.std())


def disks(n, side, n_axes):
    """Return noisy images (n, 1, ...) of a disk each, and where it is."""
    rng = np.random.default_rng(0)
    grid = np.indices((side,) * n_axes)
    centre = rng.uniform(0.4, 0.6, (n, n_axes, *(1,) * n_axes)) * side
    radius = rng.uniform(0.25, 0.35, (n, *(1,) * n_axes)) * side
    truth = ((grid - centre) ** 2).sum(axis=1) < radius**2
    images = truth + rng.normal(0, 0.3, truth.shape)
    return torch.from_numpy(images[:, None].astype(np.float32)), torch.from_numpy(truth.astype(np.float32))


class TestCounts:
    """Parameters and operations, by hand and from papers."""

    def test_spot_unet_as_in_the_lecture(self):
        net = build_network("spot-unet", channels=1, maps=("spot",))
        assert count_parameters(net) == 265_105
        kinds = [type(m).__name__ for m in net.modules()]
        assert kinds.count("Conv2d") == 11
        assert not any("Norm" in k for k in kinds)

    @pytest.mark.parametrize(("depth", "width", "kernel"), [(4, 16, 3), (3, 8, 5), (2, 6, 7), (1, 1, 3)])
    def test_unet(self, depth, width, kernel):
        net = build_network(
            "unet", channels=2, maps="abc", options={"depth": depth, "width": width, "kernel": kernel, "norm": "group"}
        )
        assert count_parameters(net) == pairs_of_unet(2, depth, width, kernel) + 3 * width + 3

    def test_unet3d(self):
        net = build_network("unet3d", channels=1, maps="a", options={"depth": 2, "width": 4})
        assert count_parameters(net) == pairs_of_unet(1, 2, 4, axes=3) + 5

    def test_unet_of_the_paper(self):
        # Ronneberger et al. have 64 channels, 2 classes, biases, no norm: 31,030,658 parameters. Theirs convolve
        # (2 x 2) from 2w to w channels on the way up and join w + w; ours repeat pixels and join 2w + w.
        net = build_network("unet", channels=1, maps="ab", options={"width": 64, "norm": "none"})
        widths = [64, 128, 256, 512]
        theirs = sum(conv(2 * w, w, 2, bias=True, norm=False) for w in widths)
        ours = sum(9 * w * w for w in widths)
        assert count_parameters(net) - ours + theirs == 31_030_658

    def test_unet_plus(self):
        depth, width = 3, 4
        net = build_network("unet++", channels=2, maps="ab", options={"depth": depth, "width": width})
        w = [width * 2**i for i in range(depth + 1)]
        expected = sum(conv(a, b) + conv(b, b) for a, b in zip([2, *w], w))
        for j in range(1, depth + 1):
            expected += sum(conv(j * w[i] + w[i + 1], w[i]) + conv(w[i], w[i]) for i in range(depth + 1 - j))
        assert count_parameters(net) == expected + depth * (2 * width + 2)

    def test_segnet_is_vgg16_and_its_mirror_image(self):
        net = build_network("segnet", channels=3, maps=[str(k) for k in range(12)])
        convs = [m for m in net.modules() if isinstance(m, nn.Conv2d)]
        assert len(convs) == 26
        # VGG-16 has 14,714,688 weights and biases before its dense layers; batch norm takes the biases away.
        down = [m for m in net.encoder.modules() if isinstance(m, nn.Conv2d)]
        assert sum(m.weight.numel() + m.out_channels for m in down) == 14_714_688
        widths = [512] * 6 + [256] * 3 + [128] * 2 + [64] * 2  # in and out, on the way up
        up = sum(conv(a, b) for a, b in pairwise(widths))
        assert count_parameters(net.decoder) + count_parameters(net.head) == up + conv(64, 12, bias=True, norm=False)

    def test_operations_by_hand(self):
        net = build_network("unet", channels=1, maps="a", options={"depth": 1, "width": 2, "norm": "none"})
        full = 9 * (1 * 2 + 2 * 2 + 6 * 2 + 2 * 2) + 2
        assert operations_per_pixel(net) == full + 9 * (2 * 4 + 4 * 4) / 4
        assert net.training
        assert net(torch.zeros(1, 1, 2, 2), keep_of(net)).isfinite().all()  # it still has its weights

    @pytest.mark.slow
    @needs_library
    def test_encoders_as_their_libraries_count_them(self):
        # torchvision's documentation: resnet18 11,689,512 and resnet152 60,192,808 with a last layer of 1000 classes.
        for name, whole, n in (("resnet18", 11_689_512, 512), ("resnet152", 60_192_808, 2048)):
            with torch.device("meta"):
                assert count_parameters(build_encoder(name, 3, 5, 16)) == whole - (n * 1000 + 1000)

    @pytest.mark.slow
    @needs_library
    def test_decoders_beside_those_of_the_library(self):
        import_torchvision()
        import segmentation_models_pytorch as library

        theirs = library.Unet("resnet18", encoder_weights=None, in_channels=1).eval()
        ours = build_network("unet", channels=1, maps="a", options={"encoder": "resnet18"}).eval()
        copy_weights(theirs.encoder, ours.encoder)
        copy_weights(theirs.decoder, ours.decoder)
        image = torch.randn(1, 1, 64, 96)
        with torch.inference_mode():
            torch.testing.assert_close(ours.decoder(ours.encoder(image)), theirs.decoder(theirs.encoder(image)))
        theirs = library.Linknet("resnet18", encoder_weights=None, in_channels=1).eval()
        ours = build_network("linknet", channels=1, maps="a", options={"encoder": "resnet18"}).eval()
        copy_weights(theirs.encoder, ours.encoder)
        for m in theirs.decoder.modules():
            if isinstance(m, nn.ConvTranspose2d):
                m.bias = None  # batch norm takes it away
        copy_weights(theirs.decoder, ours.decoder)
        with torch.inference_mode():
            torch.testing.assert_close(ours.decoder(ours.encoder(image)), theirs.decoder(theirs.encoder(image)))


def copy_weights(source, target):
    """Give a module the weights of another, in their order."""
    given, wanted = source.state_dict(), target.state_dict()
    assert [v.shape for v in given.values()] == [v.shape for v in wanted.values()]
    target.load_state_dict(dict(zip(wanted, given.values(), strict=True)))


class TestUNet:
    @pytest.mark.slow
    @pytest.mark.parametrize(("depth", "kernel"), [(1, 3), (2, 3), (3, 3), (2, 5), (1, 7)])
    def test_how_far_it_sees_by_arithmetic(self, depth, kernel):
        # Back from an output pixel, level by level: a pair of kernels reaches 2 (k - 1) / 2 pixels of its stride; a
        # repeated pixel comes from the coarse one over it, and the maximum of two comes from both.
        worst, r = 0, kernel - 1
        for place in range(2**depth):
            low = high = place
            for level in range(depth):
                s = 2**level
                low, high = low - r * s, high + r * s  # a pair at this level, on whole pixels of stride s
                low, high = low // (2 * s) * 2 * s, high // (2 * s) * 2 * s + 2 * s - 1  # the coarse pixels over them
            s = 2**depth
            low, high = low - r * s, high + r * s
            for level in reversed(range(depth)):
                s = 2**level
                low, high = low - r * s, high + r * s
            worst = max(worst, place - low, high - place)
        net = build_network("unet", channels=1, maps="a", options={"depth": depth, "kernel": kernel, "width": 2})
        assert receptive_radius(net) == worst

    def test_group_norm_sees_the_whole_image(self, monkeypatch):
        monkeypatch.setattr(exporting, "_FARTHEST", 256)
        net = thin("unet", norm="group", depth=2)
        assert receptive_radius(net, channels=2) is None
        check_export(net)

    def test_the_decoder_joins_what_is_there(self):
        decoder = UNetDecoder((3, 5), (2, 8), 4)  # nothing at strides 1 and 4
        out = decoder([torch.randn(1, 3, 8, 8), torch.randn(1, 5, 2, 2)])
        assert out.shape == (1, 4, 16, 16)

    def test_a_dilated_encoder_keeps_its_resolution(self):
        encoder = PlainEncoder(1, 4, 2, coarsest=4)
        assert encoder.strides == (1, 2, 4, 4, 4)
        assert [f.shape[-1] for f in encoder(torch.zeros(1, 1, 16, 16))] == [16, 8, 4, 4, 4]
        assert [level[0][0].dilation[0] for level in encoder.levels] == [1, 1, 1, 2, 4]


class TestUNetPlus:
    def test_training_gives_every_branch_evaluation_the_mean(self):
        net = settled(thin("unet++"))
        image = torch.randn(1, 2, 32, 32)
        with torch.inference_mode():
            used = net(image, keep_of(net))
            net.training = True  # of this module alone: batch norms stay
            first, *branches = net(image, keep_of(net))
        assert len(branches) == 4
        assert torch.equal(first, used)
        torch.testing.assert_close(used, torch.stack(branches).mean(0))

    @pytest.mark.slow
    @pytest.mark.parametrize("branch", [1, 3])
    def test_fast_is_one_branch_of_the_same_weights_and_less_work(self, branch):
        accurate = settled(thin("unet++"))
        fast = thin("unet++", mode="fast", branch=branch).eval()
        fast.load_state_dict(accurate.state_dict())
        image = torch.randn(1, 2, 32, 32)
        with torch.inference_mode():
            accurate.training = True
            expected = accurate(image, keep_of(accurate))[branch]
            accurate.training = False
            torch.testing.assert_close(fast(image, keep_of(fast)), expected)
        assert len(export(fast, channels=2).onnx) < len(export(accurate, channels=2).onnx)
        # Branch b is a U-Net of depth b.
        unet = build_network("unet", channels=2, maps="abc", options={"depth": branch, "width": 4})
        assert receptive_radius(fast, channels=2) == receptive_radius(unet, channels=2)

    def test_a_branch_that_is_not_there(self):
        with pytest.raises(OptionError, match="branch is 1 to 2 for this encoder, or 0, got 3"):
            thin("unet++", depth=2, branch=3)


class TestSegNet:
    def test_pooling_is_that_of_torch(self):
        torch.manual_seed(0)
        x = functional.relu(torch.randn(2, 3, 8, 12))  # many zeros are equal
        most, place = pool(x)
        expected, indices = functional.max_pool2d(x, 2, return_indices=True)
        assert torch.equal(most, expected)
        assert torch.equal(unpool(most, place), functional.max_unpool2d(expected, indices, 2))

    def test_all_four_pixels_are_marked_as_seen(self):
        x = torch.zeros(1, 1, 4, 4)
        x[0, 0, 0, 0] = torch.nan
        most, place = pool(x)
        assert unpool(most, place)[0, 0].isnan().nonzero().tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]


class TestPSPNet:
    @pytest.mark.parametrize("n", [1, 2, 5, 6, 8, 13, 64])
    @pytest.mark.parametrize("bins", BINS)
    def test_means_are_those_of_adaptive_pooling(self, n, bins):
        x = torch.randn(1, 2, n, 7, dtype=torch.float64)
        found = averaging(n, bins, x) @ x @ averaging(7, bins, x).T
        torch.testing.assert_close(found, functional.adaptive_avg_pool2d(x, bins))

    @pytest.mark.slow
    @pytest.mark.parametrize("name", ["pspnet", "deeplabv3+"])
    def test_it_sees_the_whole_image(self, name):
        assert receptive_radius(thin(name), channels=2) is None


class TestAlongAxes:
    def test_every_voxel_is_the_mean_of_three_planes(self):
        flat = settled(thin("unet", depth=1, rate=0.3))
        net = AlongAxes(flat)
        volume, keep = torch.randn(1, 2, 6, 4, 8), torch.from_numpy(draw_keep(flat.dropout, 2, 0))
        with torch.inference_mode():
            maps = net(volume, keep)
            p, r, c = 3, 1, 6
            planes = (volume[:, :, p], volume[:, :, :, r], volume[..., c])
            a, b, d = (flat(plane, keep) for plane in planes)
        assert maps.shape == (2, 3, 6, 4, 8)
        torch.testing.assert_close(maps[..., p, r, c], (a[..., r, c] + b[..., p, c] + d[..., p, r]) / 3)

    @pytest.mark.parametrize("rate", [0.0, 0.3])
    def test_onnx_gives_what_torch_gives(self, rate):
        check_export(AlongAxes(settled(thin("unet", depth=2, rate=rate))))

    def test_turning_the_axes_turns_the_maps(self):
        net = AlongAxes(settled(thin("unet", depth=1)))
        volume = torch.randn(1, 2, 4, 6, 8)
        with torch.inference_mode():
            # Planes seen from the other side are transposed: a network that is symmetric in its axes is turned with it.
            for m in net.modules():
                if isinstance(m, nn.Conv2d):
                    m.weight.copy_((m.weight + m.weight.transpose(2, 3)) / 2)
            here = net(volume, keep_of(net))
            there = net(volume.movedim(2, 4).contiguous(), keep_of(net))
        torch.testing.assert_close(there, here.movedim(2, 4), atol=1e-5, rtol=1e-5)


class TestBadOptions:
    @pytest.mark.parametrize(
        ("name", "options", "message"),
        [
            ("unett", {}, "there is no network 'unett'; did you mean 'unet'"),
            ("unet", {"kernal": 5}, "no option of unet 'kernal'; did you mean 'kernel'"),
            ("unet", {"kernel": 4}, "kernel is 3, 5 or 7, got 4"),
            ("unet", {"norm": "layer"}, "there is no norm of unet 'layer'"),
            ("unet", {"rate": 1}, r"rate must be in \[0, 0.9\]"),
            ("deeplabv3+", {"depth": 2}, "depth must be at least 3, got 2"),
            ("fpn", {"depth": 1}, "depth must be at least 2, got 1"),
            pytest.param("unet", {"encoder": "resnet19"}, "no encoder 'resnet19'; did you mean", marks=needs_library),
            pytest.param("unet", {"encoder": "tu-nonsense"}, "tu-nonsense cannot be built", marks=needs_library),
            pytest.param("unet", {"encoder": "resnet18", "depth": 6}, "depth of 1 to 5, got 6", marks=needs_library),
            pytest.param(
                "deeplabv3+", {"encoder": "inceptionv4"}, "dilated from stride 16 on: Inc.*", marks=needs_library
            ),
        ],
    )
    def test_one_line(self, name, options, message):
        with pytest.raises(OptionError, match=message) as error:
            build_network(name, channels=1, maps="a", options=options)
        assert "\n" not in str(error.value)


@needs_library
@pytest.mark.slow
class TestEncoders:
    @pytest.mark.parametrize("encoder", ENCODERS)
    def test_features_have_the_sizes_they_say(self, encoder):
        net = build_encoder(encoder, 2, 5, 16).eval()
        with torch.inference_mode():
            features = net(torch.randn(1, 2, 64, 96))
        assert [f.shape for f in features] == [
            (1, w, 64 // s, 96 // s) for w, s in zip(net.widths, net.strides, strict=True)
        ]

    @pytest.mark.parametrize("name", ["unet", "unet++", "fpn", "linknet", "pspnet", "deeplabv3+"])
    @pytest.mark.parametrize("rate", [0.0, 0.3])
    def test_every_decoder_exports_with_a_borrowed_encoder(self, name, rate, monkeypatch):
        monkeypatch.setattr(exporting, "receptive_radius", lambda *_, **__: None)  # minutes, and tested above
        net = settled(build_network(name, channels=2, maps="ab", options={"encoder": "resnet18", "rate": rate}))
        assert net.multiple == {"pspnet": 8, "deeplabv3+": 16}.get(name, 32)
        made = export(net, channels=2)
        image = np.random.default_rng(0).normal(size=(1, 2, 96, 64)).astype(np.float32)
        keep = draw_keep(net.dropout, 2, 0)
        with torch.inference_mode():
            expected = exporting._folded(net)(torch.from_numpy(image), torch.from_numpy(keep)).numpy()
        spread = expected.std(axis=(0, 2, 3), keepdims=True)
        assert (np.abs(exporting._run(made.onnx, image, keep) - expected) < 0.05 * spread).all()

    @pytest.mark.parametrize(
        ("name", "encoder"),
        [
            ("unet", "resnet152"),
            ("pspnet", "resnet152"),
            ("unet++", "inceptionresnetv2"),
            ("fpn", "inceptionv4"),
            ("linknet", "xception"),
            ("deeplabv3+", "tu-xception65"),
        ],
    )
    def test_one_step_of_the_big_ones(self, name, encoder):
        torch.manual_seed(0)
        net = build_network(name, channels=1, maps="a", options={"encoder": encoder})
        maps = net.train()(torch.randn(2, 1, 64, 64), keep_of(net))
        (maps[0] if isinstance(maps, tuple) else maps).square().mean().backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in net.parameters())
        assert sum(p.grad is not None for p in net.encoder.parameters()) > 10
