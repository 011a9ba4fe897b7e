import doctest

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import block_diag
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cvviz.ops.conv_variants as module
from cvviz.ops.conv_variants import (
    Conv,
    common_divisors,
    cost,
    dense_weight,
    merge_separable,
    nearest_separable,
    separable_ratio,
    variants,
)

sizes = st.integers(1, 12)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def in_torch(layers):
    return nn.Sequential(
        *(
            nn.Conv2d(
                each.inputs,
                each.outputs,
                each.kernel_size,
                each.stride,
                each.kernel_size // 2,
                1,
                each.groups,
                bias=False,
            )
            for each in layers
        )
    )


def test_doctest():
    assert doctest.testmod(module, extraglobs={"torch": torch}).failed == 0


class TestConv:
    @pytest.mark.parametrize(
        ("layer", "shape", "weights"),
        [
            (Conv(64, 128, 3), (128, 64, 3, 3), 73728),  # 128 * 64 * 9
            (Conv(96, 256, 5, groups=2), (256, 48, 5, 5), 307200),  # half of 256 * 96 * 25
            (Conv(64, 64, 3, groups=64), (64, 1, 3, 3), 576),  # one kernel of 9 per channel
            (Conv(64, 128), (128, 64, 1, 1), 8192),  # one weight per pair
        ],
    )
    def test_weights(self, layer, shape, weights):
        assert layer.weight_shape == shape
        assert layer.parameters == weights

    @given(sizes, st.integers(1, 5), st.integers(1, 4))
    @settings(max_examples=60, deadline=None)
    def test_output_size_is_torch_s(self, size, kernel_size, stride):
        layer = Conv(1, 1, kernel_size, stride=stride)
        assert in_torch([layer])(torch.zeros(1, 1, size, size)).shape[2] == layer.output_size(size)

    def test_exception(self):
        with pytest.raises(ValueError, match="inputs must be at least 1, got 0"):
            Conv(0, 1)
        with pytest.raises(TypeError, match="stride must be an int, got float"):
            Conv(1, 1, stride=2.0)
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            Conv(1, 1).output_size(0)

    def test_groups_that_do_not_divide_name_those_that_do(self):
        with pytest.raises(ValueError, match=r"64 inputs and 96 outputs, got 5\. These do: 1, 2, 4, 8, 16, 32\."):
            Conv(64, 96, groups=5)
        with pytest.raises(ValueError, match=r"got 3\. These do: 1, 2\."):
            Conv(6, 8, groups=3)  # 3 divides 6, not 8


class TestCost:
    def test_values(self):
        # 4 x 4 map, 2 -> 2 depthwise 3 x 3 at stride 2, then 2 -> 5 pointwise on 2 x 2.
        found = cost([Conv(2, 2, 3, groups=2, stride=2), Conv(2, 5)], 4)
        assert found.parameters == 2 * 9 + 10
        assert found.macs == 28 * 4  # every weight once at each of 4 positions
        assert found.ends == 2 * 16 + 5 * 4
        assert found.between == 2 * 2 * 4  # written and read
        assert found.traffic == 4 * (28 + 52 + 16)
        assert found.intensity == pytest.approx(112 / 384)

    @given(sizes, sizes, st.integers(1, 5), st.integers(1, 3), sizes, st.data())
    @settings(max_examples=60, deadline=None)
    def test_equals_torch_s_counter(self, inputs, outputs, kernel_size, stride, size, data):
        groups = data.draw(st.sampled_from(common_divisors(inputs, outputs)))
        for layers in variants(inputs, outputs, kernel_size=kernel_size, stride=stride, groups=groups).values():
            network = in_torch(layers).to("meta")
            with FlopCounterMode(display=False) as counter:
                network(torch.zeros(1, inputs, size, size, device="meta"))
            found = cost(layers, size)
            assert found.macs == counter.get_total_flops() / 2
            assert found.parameters == sum(weight.numel() for weight in network.parameters())

    def test_depthwise_does_an_eighth_of_k_squared_macs_per_byte(self):
        # 8 bytes per value in and out, k^2 MACs; weights do not count on a large map.
        for kernel_size in (3, 5, 7):
            found = cost([Conv(16, 16, kernel_size, groups=16)], 224)
            assert found.intensity == pytest.approx(kernel_size**2 / 8, rel=1e-2)

    def test_exception(self):
        with pytest.raises(ValueError, match="layers must hold at least one convolution"):
            cost([], 8)
        with pytest.raises(ValueError, match="layers must fit: 4 channels are made, 5 are read"):
            cost([Conv(3, 4), Conv(5, 6)], 8)
        with pytest.raises(ValueError, match="size must be at least 1"):
            cost([Conv(1, 1)], 0)


class TestSeparableRatio:
    @pytest.mark.parametrize(
        ("outputs", "kernel_size", "fewer"),
        [(16, 3, 5.76), (72, 3, 8.0), (1024, 3, 8.92), (256, 5, 22.77), (1, 3, 0.9), (64, 1, 64 / 65)],
    )
    def test_values(self, outputs, kernel_size, fewer):
        assert 1 / separable_ratio(outputs, kernel_size) == pytest.approx(fewer, abs=0.01)

    @given(sizes, sizes, st.integers(1, 5), st.integers(1, 3), sizes)
    @settings(max_examples=60, deadline=None)
    def test_is_the_quotient_whatever_else_there_is(self, inputs, outputs, kernel_size, stride, size):
        kinds = variants(inputs, outputs, kernel_size=kernel_size, stride=stride)
        whole, both = cost(kinds["standard"], size), cost(kinds["separable"], size)
        ratio = separable_ratio(outputs, kernel_size)
        if kinds["standard"][0].output_size(size) == kinds["separable"][0].output_size(size):
            assert both.parameters / whole.parameters == pytest.approx(ratio)
            assert both.macs / whole.macs == pytest.approx(ratio)

    def test_exception(self):
        with pytest.raises(ValueError, match="outputs must be at least 1, got 0"):
            separable_ratio(0, 3)
        with pytest.raises(TypeError, match="kernel_size must be an int"):
            separable_ratio(8, 3.0)


class TestVariants:
    def test_kinds(self):
        kinds = variants(6, 4, kernel_size=3, stride=2, groups=2)
        assert list(kinds) == ["standard", "grouped", "depthwise", "pointwise", "separable"]
        assert kinds["separable"] == (*kinds["depthwise"], Conv(6, 4))
        assert all(layers[0].stride == 2 for layers in kinds.values())
        assert "grouped" not in variants(6, 4, kernel_size=3)

    def test_all_give_one_size(self):
        for layers in variants(4, 4, kernel_size=5, stride=3, groups=2).values():
            assert in_torch(layers)(torch.zeros(1, 4, 17, 17)).shape == (1, 4, 6, 6)

    def test_exception(self):
        with pytest.raises(ValueError, match="groups must divide"):
            variants(6, 4, kernel_size=3, groups=3)


class TestCommonDivisors:
    @given(st.integers(1, 300), st.integers(1, 300))
    @settings(max_examples=60, deadline=None)
    def test_are_those_that_leave_no_rest(self, first, second):
        expected = [number for number in range(1, 301) if first % number == second % number == 0]
        assert common_divisors(first, second) == expected

    def test_exception(self):
        with pytest.raises(ValueError, match="second must be at least 1, got 0"):
            common_divisors(4, 0)


class TestDenseWeight:
    @pytest.mark.parametrize(("outputs", "inputs", "groups"), [(6, 4, 1), (6, 4, 2), (4, 4, 4), (8, 4, 4), (3, 6, 3)])
    def test_does_the_same_as_torch_s_groups(self, outputs, inputs, groups):
        picture, weight = normal(2, inputs, 7, 6), normal(outputs, inputs // groups, 3, 3, seed=1)
        grouped = F.conv2d(picture, weight, groups=groups, padding=1)
        assert torch.allclose(F.conv2d(picture, dense_weight(weight, groups=groups), padding=1), grouped, atol=1e-12)

    def test_is_block_diagonal(self):
        weight = normal(6, 2, 1, 1)
        expected = block_diag(*weight[..., 0, 0].reshape(3, 2, 2).numpy())
        assert np.array_equal(dense_weight(weight, groups=3)[..., 0, 0].numpy(), expected)

    def test_leaves_the_argument_and_passes_gradients(self):
        weight = normal(4, 2, 3, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda each: dense_weight(each, groups=2), weight)
        dense_weight(weight.detach(), groups=2).zero_()
        assert weight.detach().abs().min() > 0

    def test_exception(self):
        with pytest.raises(TypeError, match="weight must have a floating-point dtype"):
            dense_weight(torch.ones(1, 1, 1, 1, dtype=torch.int64), groups=1)
        with pytest.raises(ValueError, match="groups must divide the 4 outputs of weight, got 3"):
            dense_weight(torch.ones(4, 1, 1, 1), groups=3)
        with pytest.raises(ValueError, match="groups must divide the 4 outputs of weight, got 0"):
            dense_weight(torch.ones(4, 1, 1, 1), groups=0)
        with pytest.raises(ValueError, match=r"weight must have shape \(N, M, k, k\) and hold something, got \(4,\)"):
            dense_weight(torch.ones(4), groups=1)


class TestMergeSeparable:
    @pytest.mark.parametrize("multiplier", [1, 2, 3])
    def test_does_the_same_as_both_steps(self, multiplier):
        picture = normal(2, 5, 9, 8)
        depthwise, pointwise = normal(5 * multiplier, 1, 3, 3, seed=1), normal(7, 5 * multiplier, 1, 1, seed=2)
        steps = F.conv2d(F.conv2d(picture, depthwise, groups=5, padding=1, stride=2), pointwise)
        kernel = merge_separable(depthwise, pointwise, multiplier=multiplier)
        assert kernel.shape == (7, 5, 3, 3)
        assert torch.allclose(F.conv2d(picture, kernel, padding=1, stride=2), steps, atol=1e-12)

    @pytest.mark.parametrize("multiplier", [1, 2, 4])
    def test_rank_of_the_slice_of_an_input(self, multiplier):
        kernel = merge_separable(
            normal(3 * multiplier, 1, 3, 3), normal(8, 3 * multiplier, 1, 1), multiplier=multiplier
        )
        assert torch.linalg.matrix_rank(kernel.transpose(0, 1).flatten(2)).tolist() == [multiplier] * 3

    def test_gradcheck(self):
        inputs = normal(2, 1, 2, 2).requires_grad_(), normal(3, 2, 1, 1).requires_grad_()
        assert torch.autograd.gradcheck(merge_separable, inputs)

    def test_exception(self):
        with pytest.raises(TypeError, match="pointwise must have a floating-point dtype"):
            merge_separable(torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"depthwise must have shape \(1 M, 1, k, k\), got \(4, 2, 3, 3\)"):
            merge_separable(torch.ones(4, 2, 3, 3), torch.ones(5, 4, 1, 1))
        with pytest.raises(ValueError, match=r"depthwise must have shape \(3 M, 1, k, k\), got \(4, 1, 3, 3\)"):
            merge_separable(torch.ones(4, 1, 3, 3), torch.ones(5, 4, 1, 1), multiplier=3)
        with pytest.raises(ValueError, match=r"pointwise must have shape \(N, 4, 1, 1\), got \(5, 3, 1, 1\)"):
            merge_separable(torch.ones(4, 1, 3, 3), torch.ones(5, 3, 1, 1))


class TestNearestSeparable:
    def test_loses_what_numpy_s_smaller_singular_values_hold(self):
        weight = normal(6, 4, 3, 3)
        for multiplier in (1, 2, 5):
            near = merge_separable(*nearest_separable(weight, multiplier=multiplier), multiplier=multiplier)
            left_out = [
                np.linalg.svd(weight[:, index].reshape(6, 9).numpy(), compute_uv=False)[multiplier:]
                for index in range(4)
            ]
            assert float((near - weight).norm() ** 2) == pytest.approx(float(np.square(left_out).sum()))

    def test_exact_where_it_can_be(self):
        free = normal(6, 4, 3, 3)
        assert torch.allclose(merge_separable(*nearest_separable(free, multiplier=6), multiplier=6), free)
        separable = merge_separable(normal(4, 1, 3, 3), normal(6, 4, 1, 1, seed=1))
        assert torch.allclose(merge_separable(*nearest_separable(separable)), separable)
        one = normal(1, 4, 3, 3)  # with one output every slice is a row, of rank 1
        assert torch.allclose(merge_separable(*nearest_separable(one)), one)

    def test_exception(self):
        with pytest.raises(TypeError, match="weight must be a Tensor, got list"):
            nearest_separable([1.0])
        with pytest.raises(ValueError, match=r"multiplier must lie in \[1, 2\], got 3"):
            nearest_separable(torch.ones(2, 4, 3, 3), multiplier=3)
        with pytest.raises(ValueError, match=r"and hold something, got \(0, 4, 3, 3\)"):
            nearest_separable(torch.ones(0, 4, 3, 3))
