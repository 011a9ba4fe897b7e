"""Receptive fields: the recursion, graphs of layers, whole networks, and where the gradient goes."""

import doctest
from random import Random

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from cvviz.ops.receptive_field import (
    Field,
    Layer,
    Node,
    chain,
    effective_size,
    gradient_mass,
    module_receptive_field,
    node_fields,
    node_sizes,
    receptive_field,
    thresholded_span,
    trace,
)
from cvviz.ops.receptive_field import layers as of_stack
from cvviz.ops.receptive_field import network as of_module

# Size at the last spatial map, verified against the extent of the gradient of the real network.
NETWORKS = {
    "alexnet": 195,
    "vgg16": 212,
    "vgg16_bn": 212,
    "vgg19": 268,
    "googlenet": 379,
    "inception_v3": 1311,
    "resnet18": 435,
    "resnet34": 899,
    "resnet50": 427,
    "resnext50_32x4d": 427,
    "densenet121": 2071,
    "mobilenet_v2": 491,
    "mobilenet_v3_small": 639,
    "mobilenet_v3_large": 595,
    "mnasnet1_0": 843,
    "shufflenet_v2_x1_0": 527,
    "squeezenet1_1": 207,
    "efficientnet_b0": 851,
    "convnext_tiny": 1688,
}


def on_meta(name: str) -> nn.Module:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        return torchvision.models.get_model(name, **options)


def reached(net: nn.Module, side: int, unit: int) -> tuple[int, int]:
    """(first, end) of the pixels that get gradient from ``unit``, for a net on (1, 1, side)."""
    image = torch.zeros(1, 1, side, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(net(image)[0, 0, unit], image)
    rows = gradient[0, 0].nonzero().flatten()
    return int(rows[0]), int(rows[-1]) + 1


def positive(net: nn.Module) -> nn.Module:
    """The same net in float64 with positive weights, so that no path is cancelled."""
    net = net.double()
    for weight in net.parameters():
        weight.data.fill_(1 / weight[0].numel())
    return net


def conv1d(layer: Layer) -> nn.Module:
    return nn.Conv1d(1, 1, layer.kernel_size, layer.stride, layer.padding, layer.dilation, bias=False)


@pytest.mark.parametrize("module", [of_stack, of_module])
def test_doctests(module):
    assert doctest.testmod(module).failed == 0


class TestLayer:
    def test_extent_of_a_dilated_kernel(self):
        assert Layer(3, dilation=2).extent == 5
        assert Layer(1, dilation=9).extent == 1  # a single tap has no gaps

    @pytest.mark.parametrize(
        ("values", "message"),
        [
            ((0,), "kernel_size must be at least 1, got 0"),
            ((3, 0), "stride must be at least 1, got 0"),
            ((3, 1, -1), "padding must be at least 0, got -1"),
            ((3, 1, 0, 0), "dilation must be at least 1, got 0"),
        ],
    )
    def test_bad_values(self, values, message):
        with pytest.raises(ValueError, match=message):
            Layer(*values)

    @pytest.mark.parametrize("value", [3.0, "3", True])
    def test_bad_types(self, value):
        with pytest.raises(TypeError, match="kernel_size must be an int"):
            Layer(value)


class TestChain:
    def test_three_3x3_see_7(self):
        assert [field.size for field in receptive_field([Layer(3)] * 3)] == [3, 5, 7]

    def test_stride_counts_from_the_next_layer_on(self):
        fields = receptive_field([Layer(3, 2), Layer(3, 2), Layer(3)])
        assert [field.size for field in fields] == [3, 3 + 2 * 2, 7 + 2 * 4]
        assert [field.jump for field in fields] == [2, 4, 4]

    def test_dilations_1_2_4_8_see_31(self):  # 1 + 2 (1 + 2 + 4 + 8)
        assert receptive_field([Layer(3, dilation=d) for d in (1, 2, 4, 8)])[-1].size == 31

    def test_start_moves_by_half_the_extent_less_the_padding(self):
        assert receptive_field([Layer(3)])[0].start == 1.5  # centre of pixels 0 to 2
        assert receptive_field([Layer(3, padding=1)])[0].start == 0.5  # centre of pixel 0
        assert receptive_field([Layer(3, padding=1, dilation=2)])[0].start == 1.5  # the padding did not follow
        assert receptive_field([Layer(2, 2)])[0].start == 1.0  # between pixels 0 and 1

    def test_channels_and_order_of_equal_layers_do_not_matter_but_place_of_stride_does(self):
        early, late = [Layer(3, 2), Layer(3), Layer(3)], [Layer(3), Layer(3), Layer(3, 2)]
        assert receptive_field(early)[-1].size == 3 + 4 + 4
        assert receptive_field(late)[-1].size == 3 + 2 + 2

    def test_no_layers(self):
        assert receptive_field([]) == []

    def test_large_numbers_stay_exact(self):
        assert receptive_field([Layer(15, 8)] * 24)[-1].size == 1 + 2 * (8**24 - 1)  # 14 (1 + 8 + ... ) = 2 (8^n - 1)

    def test_not_a_layer(self):
        with pytest.raises(TypeError, match="layers must hold Layer values, got int"):
            receptive_field([Layer(3), 3])

    def test_300_random_stacks_reach_as_far_as_their_gradient(self):
        draw = Random(0)
        for _ in range(300):
            layers = [
                Layer(draw.randint(1, 5), draw.randint(1, 2), draw.randint(0, 3), draw.randint(1, 3))
                for _ in range(draw.randint(1, 5))
            ]
            field = receptive_field(layers)[-1]
            net = positive(nn.Sequential(*map(conv1d, layers)))
            side = field.size + 8 * field.jump + 64  # room for the padding on either side
            unit = node_sizes(chain(layers), side)[-1] // 2
            assert reached(net, side, unit) == field.span(unit), layers

    def test_map_sizes_are_those_of_torch(self):
        draw = Random(1)
        for _ in range(100):
            layers = [
                Layer(draw.randint(1, 5), draw.randint(1, 3), draw.randint(0, 3), draw.randint(1, 2)) for _ in "abc"
            ]
            sizes = node_sizes(chain(layers), 40)
            for size, layer, before in zip(sizes[1:], layers, sizes, strict=False):
                if before + 2 * layer.padding >= layer.extent:
                    assert size == conv1d(layer)(torch.zeros(1, 1, before)).shape[-1]
                else:
                    assert size == 0  # torch raises
                    break

    def test_ceil_mode_counts_the_incomplete_window(self):
        for side in range(4, 20):
            for pool in (nn.MaxPool1d(3, 2, ceil_mode=True), nn.MaxPool1d(2, 3, 1, ceil_mode=True)):
                layer = Layer(pool.kernel_size, pool.stride, pool.padding)
                node = Node("window", "pool", (0,), layer, ceil_mode=True)
                assert node_sizes([Node("input"), node], side)[-1] == pool(torch.zeros(1, 1, side)).shape[-1]


class TestField:
    def test_inside(self):
        field = receptive_field([Layer(5, padding=2)])[-1]
        assert field.inside(0, 10) == 0.6  # pixels -2 to 2: three of five
        assert field.inside(5, 10) == 1.0
        assert field.inside(40, 10) == 0.0

    def test_neighbours_are_one_jump_apart(self):
        field = receptive_field([Layer(3, 2, 1), Layer(5, 3, 2)])[-1]
        assert field.span(7)[0] - field.span(6)[0] == field.jump == 6
        assert field.span(-1)[0] == field.span(0)[0] - 6


class TestGraphs:
    def test_merge_sees_the_union(self):
        wide, narrow = Node("window", "a", (0,), Layer(7, padding=3)), Node("window", "b", (0,), Layer(3, padding=1))
        for kind in ("sum", "concat"):
            field = node_fields([Node("input"), wide, narrow, Node(kind, "merge", (1, 2))])[-1]
            assert field.spans == ((-3, 4),)

    def test_branches_need_not_be_concentric(self):
        left, right = Node("window", "a", (0,), Layer(1, padding=4)), Node("window", "b", (0,), Layer(1))
        assert node_fields([Node("input"), left, right, Node("sum", "merge", (1, 2))])[-1].spans == ((-4, 1),)

    def test_branches_of_different_jumps(self):
        nodes = [Node("input"), Node("window", "a", (0,), Layer(2, 2)), Node("sum", "b", (0, 1))]
        with pytest.raises(ValueError, match=r"must have one jump, got \[1, 2\]"):
            node_fields(nodes)

    def test_finer_than_the_input(self):
        with pytest.raises(ValueError, match="makes units of 1 px finer than the input"):
            node_fields([Node("input"), Node("transpose", "up", (0,), Layer(2, 2))])

    @pytest.mark.parametrize("up", [Layer(2, 2), Layer(4, 2, 1), Layer(3, 2, 1), Layer(5, 2)])
    def test_every_unit_behind_a_transposed_convolution(self, up):
        layers = [Layer(3, 1, 1), Layer(2, 2), Layer(3, 1, 1)]
        nodes = [*chain(layers), Node("transpose", "up", (3,), up), Node("window", "last", (4,), Layer(3, 1, 1))]
        upward = nn.ConvTranspose1d(1, 1, up.kernel_size, up.stride, up.padding, bias=False)
        net = positive(nn.Sequential(*map(conv1d, layers), upward, conv1d(Layer(3, 1, 1))))
        field = node_fields(nodes)[-1]
        assert field.jump == 1
        sizes = set()
        for unit in range(20, 28):
            first, end = reached(net, 48, unit)
            assert (first, end) == field.span(unit)
            sizes.add(end - first)
            mass = gradient_mass(nodes, unit=(unit,))
            assert len(mass) == end - first
            assert mass.min() > 0
        assert field.size == max(sizes)
        assert node_sizes(nodes, 48)[-1] == net(torch.zeros(1, 1, 48, dtype=torch.float64)).shape[-1]


class TestNetworks:
    @pytest.mark.parametrize(("name", "size"), NETWORKS.items())
    def test_known_sizes(self, name, size):
        assert module_receptive_field(on_meta(name), 299 if name == "inception_v3" else 224).size == size

    def test_resnet_18_in_full(self):
        field = module_receptive_field(on_meta("resnet18"), 224)
        assert (field.size, field.jump, field.start) == (435, 32, 0.5)

    def test_both_axes_of_factorised_kernels(self):
        assert module_receptive_field(on_meta("inception_v3"), 299, axis=1).size == 1311
        net = nn.Conv2d(3, 1, (1, 7), padding=(0, 3))
        assert module_receptive_field(nn.Sequential(net), 32).size == 1
        assert module_receptive_field(nn.Sequential(net), 32, axis=1).size == 7

    def test_resnet_50_as_published_has_483(self):  # the stride on the first 1 x 1 of a block
        net = on_meta("resnet50")
        for block in (net.layer2[0], net.layer3[0], net.layer4[0]):
            block.conv1.stride, block.conv2.stride = (2, 2), (1, 1)
        assert module_receptive_field(net, 224).size == 483

    @pytest.mark.parametrize(("name", "size"), [("vgg16", 212), ("resnet18", 435)])
    def test_gradient_of_the_real_network(self, name, size):
        """All channels of the torchvision network, with positive weights, on an image too narrow to cost much."""
        net = on_meta(name)
        net = (net.features if name == "vgg16" else nn.Sequential(*list(net.children())[:-2])).to_empty(device="cpu")
        for parent in list(net.modules()):
            for label, part in parent.named_children():
                if isinstance(part, nn.Conv2d):
                    part.weight.data.fill_(1 / part.weight[0].numel())
                    part.bias = None
                elif isinstance(part, nn.BatchNorm2d):
                    part.reset_parameters()
                elif isinstance(part, nn.MaxPool2d):
                    setattr(parent, label, nn.AvgPool2d(part.kernel_size, part.stride, part.padding))
        image = torch.ones(1, 3, size + 96, 32, requires_grad=True)
        maps = net.eval()(image)
        unit = maps.shape[2] // 2
        (gradient,) = torch.autograd.grad(maps[0, 0, unit].sum(), image)
        rows = gradient.sum((0, 1, 3)).nonzero().flatten()
        field = node_fields(trace(net))[-1]
        assert (int(rows[0]), int(rows[-1]) + 1) == field.span(unit)
        assert field.size == len(rows) == size

    def test_mode_and_parameters_are_left_alone(self):
        net = torchvision.models.resnet18(weights=None).train()
        net.bn1.eval()
        before = [part.training for part in net.modules()]
        module_receptive_field(net, 224)
        assert [part.training for part in net.modules()] == before

    def test_squeeze_and_excitation_is_left_out(self):
        se = torchvision.ops.SqueezeExcitation(8, 2)
        net = nn.Sequential(nn.Conv2d(3, 8, 3), se, nn.Conv2d(8, 8, 3))
        assert module_receptive_field(net, 32).size == 5

    @pytest.mark.parametrize("name", ["vit_b_16", "swin_t"])
    def test_attention_has_no_local_field(self, name):
        with pytest.raises(ValueError, match="module has no local receptive field"):
            module_receptive_field(on_meta(name), 224)

    def test_untraceable(self):
        class Branching(nn.Module):
            def forward(self, x):
                return x if x.sum() > 0 else -x

        with pytest.raises(ValueError, match=r"module must be traceable by torch\.fx"):
            module_receptive_field(Branching(), 32)

    def test_input_too_small(self):
        with pytest.raises(ValueError, match="module shrinks an input of 16 px to nothing"):
            module_receptive_field(on_meta("alexnet"), 16)

    def test_transposed_convolution_with_holes(self):
        with pytest.raises(ValueError, match="0 must have kernel_size >= stride"):
            trace(nn.Sequential(nn.ConvTranspose2d(3, 3, 2, stride=3)))


class TestGradientMass:
    def test_binomial_in_the_making(self):  # paths through two windows of 3: 1 2 3 2 1
        assert torch.allclose(
            gradient_mass(chain([Layer(3)] * 2), unit=(0,)) * 9, torch.tensor([1.0, 2, 3, 2, 1]).double()
        )

    def test_dilation_leaves_holes(self):
        mass = gradient_mass(chain([Layer(3, dilation=2)] * 3))
        assert mass.shape == (13, 13)
        assert int((mass > 0).sum()) == 49

    def test_sum_is_one_and_rows_are_the_marginal(self):
        nodes = trace(on_meta("resnet18"))
        mass = gradient_mass(nodes)
        assert mass.shape == (435, 435)
        torch.testing.assert_close(mass.sum(1), gradient_mass(nodes, unit=(0,)))
        torch.testing.assert_close(mass, mass.T)
        assert float(mass.sum()) == pytest.approx(1)

    def test_autograd_of_a_residual_block(self):
        image = torch.zeros(1, 1, 30, 30, dtype=torch.float64, requires_grad=True)
        stem = F.avg_pool2d(image, 2)
        skip = F.avg_pool2d(stem, 3, 1, 1)
        block = F.avg_pool2d(F.avg_pool2d(skip, 3, 1, 1), 3, 1, 1)
        maps = (0.75 * block + 0.25 * stem)[0, 0]
        (gradient,) = torch.autograd.grad(maps[7, 7], image)
        nodes = [*chain([Layer(2, 2), Layer(3, 1, 1), Layer(3, 1, 1), Layer(3, 1, 1)])]
        nodes.append(Node("concat", "merge", (4, 1), shares=(0.75, 0.25)))
        (first, end), mass = node_fields(nodes)[-1].span(7), gradient_mass(nodes)
        torch.testing.assert_close(gradient[0, 0, first:end, first:end], mass)
        assert gradient.sum() == pytest.approx(1)  # nothing outside

    def test_autograd_through_up_sampling(self):
        image = torch.zeros(1, 1, 32, 32, dtype=torch.float64, requires_grad=True)
        low = F.avg_pool2d(F.avg_pool2d(image, 2), 3, 1, 1)
        maps = F.avg_pool2d(F.interpolate(low, scale_factor=2), 3, 1, 1)[0, 0]
        nodes = [*chain([Layer(2, 2), Layer(3, 1, 1)])]
        nodes += [Node("transpose", "up", (2,), Layer(2, 2)), Node("window", "last", (3,), Layer(3, 1, 1))]
        field = node_fields(nodes)[-1]
        for row, column in ((14, 14), (14, 15), (17, 14)):  # units of different phase
            (gradient,) = torch.autograd.grad(maps[row, column], image, retain_graph=True)
            (top, bottom), (left, right) = field.span(row), field.span(column)
            mass = gradient_mass(nodes, unit=(row, column))
            torch.testing.assert_close(gradient[0, 0, top:bottom, left:right], mass)

    def test_expected_square_over_random_networks(self):
        """With independent weights of mean zero, E[g^2] obeys the recursion of equal weights, skip included."""
        draw, nets = torch.Generator().manual_seed(0), 4000
        image = torch.zeros(1, nets, 9, dtype=torch.float64, requires_grad=True)

        def random_conv(x):
            weights = torch.randn(nets, 1, 3, generator=draw, dtype=torch.float64) / 3**0.5
            return F.conv1d(x, weights, padding=1, groups=nets)

        stem = random_conv(image)
        maps = random_conv(random_conv(stem)) + stem
        (gradient,) = torch.autograd.grad(maps[0, :, 4].sum(), image)
        square = (gradient[0] ** 2).mean(0)
        nodes = [*chain([Layer(3, 1, 1)] * 3), Node("sum", "add", (3, 1))]
        torch.testing.assert_close(square[1:8] / square.sum(), gradient_mass(nodes, unit=(0,)), atol=0.015, rtol=0)

    def test_variance_of_a_chain_is_the_sum_of_its_layers(self):
        layers = [Layer(7, 2, 3), Layer(3, 2, 1), Layer(3, 1, 2, 2), Layer(2, 2)]
        mass = gradient_mass(chain(layers), unit=(0,))
        at = torch.arange(len(mass), dtype=torch.float64)
        variance = (mass * at**2).sum() - (mass * at).sum() ** 2
        jumps = (1, 2, 4, 4)
        expected = sum((a.kernel_size**2 - 1) / 12 * (a.dilation * j) ** 2 for a, j in zip(layers, jumps, strict=True))
        assert float(variance) == pytest.approx(expected)

    def test_the_input_itself(self):
        assert gradient_mass([Node("input")]).tolist() == [[1.0]]

    @pytest.mark.parametrize("unit", [(), (0, 0, 0)])
    def test_bad_unit(self, unit):
        with pytest.raises(ValueError, match="unit must be"):
            gradient_mass(chain([Layer(3)]), unit=unit)


class TestReadings:
    def test_effective_size_of_networks(self):  # central rows with 95 % of the gradient
        assert effective_size(gradient_mass(trace(on_meta("vgg16")), unit=(0,))) == 108
        assert effective_size(gradient_mass(trace(on_meta("resnet50")), unit=(0,))) == 143

    def test_effective_size_grows_with_the_root_of_depth(self):  # 3.92 sigma, sigma^2 = 2n/3
        for depth in (25, 100):
            size = effective_size(gradient_mass(chain([Layer(3)] * depth), unit=(0,)))
            assert size == pytest.approx(3.92 * (2 * depth / 3) ** 0.5, abs=1)

    def test_whole_share_is_the_support(self):
        profile = gradient_mass(chain([Layer(3)] * 4), unit=(0,))
        assert effective_size(profile, share=1.0) == 9
        assert effective_size(torch.tensor([0.0, 0.0, 5.0])) == 1

    def test_thresholds_of_resnet_18(self):
        profile = gradient_mass(trace(on_meta("resnet18")), unit=(0,))
        spans = [thresholded_span(profile, threshold=threshold) for threshold in (0, 1e-6, 1e-4, 1e-3)]
        assert [end - first for first, end in spans] == [435, 387, 339, 299]

    def test_threshold_of_one_keeps_the_peak(self):
        assert thresholded_span(torch.tensor([0.2, 0.9, 0.9, 0.1]), threshold=1.0) == (1, 3)

    def test_float32_on_every_threshold_is_monotone(self):
        profile = gradient_mass(chain([Layer(3)] * 9), unit=(0,)).float()
        spans = [thresholded_span(profile, threshold=t) for t in (0.0, 1e-6, 1e-3, 0.1, 0.5, 1.0)]
        lengths = [end - first for first, end in spans]
        assert lengths == sorted(lengths, reverse=True)

    @pytest.mark.parametrize("read", [effective_size, lambda profile: thresholded_span(profile, threshold=0.1)])
    def test_bad_profiles(self, read):
        with pytest.raises(TypeError, match="profile must have a floating-point dtype"):
            read(torch.tensor([1, 2]))
        with pytest.raises(TypeError, match="profile must be a Tensor"):
            read([1.0])
        with pytest.raises(ValueError, match=r"profile must have shape \(size,\) with size > 0, got \(0,\)"):
            read(torch.zeros(0))
        with pytest.raises(ValueError, match=r"got \(2, 2\)"):
            read(torch.ones(2, 2))
        for values in ([0.0, 0.0], [1.0, -1.0], [1.0, float("nan")]):
            with pytest.raises(ValueError, match="profile must be non-negative with a positive sum"):
                read(torch.tensor(values))

    def test_bad_share_and_threshold(self):
        with pytest.raises(ValueError, match=r"share must lie in \(0, 1\], got 0"):
            effective_size(torch.ones(3), share=0.0)
        with pytest.raises(ValueError, match=r"threshold must lie in \[0, 1\], got 2"):
            thresholded_span(torch.ones(3), threshold=2.0)


def test_field_of_the_input():
    assert (Field().size, Field().jump, Field().start) == (1, 1, 0.5)


def test_network_takes_a_side_or_a_shape():
    net = nn.Sequential(nn.Conv2d(3, 8, (3, 5)), nn.Flatten())
    assert module_receptive_field(net, 32) == module_receptive_field(net, (32, 48))
    assert module_receptive_field(net, (1, 3, 32, 48), axis=1).size == 5
