import doctest
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import RegularGridInterpolator

import cvviz.ops.dilation as module
from cvviz.ops.dilation import (
    coverage,
    effective_kernel_size,
    loss_of_stride,
    path_counts,
    reach_before,
    tap_offsets,
)
from cvviz.ops.receptive_field import Layer

small_layers = st.lists(
    st.builds(
        Layer,
        kernel_size=st.integers(1, 4),
        stride=st.integers(1, 3),
        padding=st.integers(0, 3),
        dilation=st.integers(1, 4),
    ),
    max_size=3,
)


def stack(*rates: int, kernel_size: int = 3) -> list[Layer]:
    return [Layer(kernel_size, dilation=rate) for rate in rates]


def gradient_of_one_unit(layers: list[Layer], size: int) -> torch.Tensor:
    """With every weight 1 the gradient of an output unit counts the paths to each pixel."""
    pixels = torch.zeros(1, 1, size, size, dtype=torch.float64, requires_grad=True)
    maps = pixels
    for layer in layers:
        ones = torch.ones(1, 1, layer.kernel_size, layer.kernel_size, dtype=torch.float64)
        maps = F.conv2d(maps, ones, stride=layer.stride, dilation=layer.dilation)
    assert maps.shape == (1, 1, 1, 1)
    (gradient,) = torch.autograd.grad(maps.sum(), pixels, materialize_grads=True)
    return gradient[0, 0]


def test_doctest():
    assert doctest.testmod(module).failed == 0


class TestEffectiveKernelSize:
    @pytest.mark.parametrize(
        ("kernel_size", "dilation", "expected"),
        [
            (3, 1, 3),  # no gap: the kernel itself
            (3, 6, 13),  # 2d + 1 for three taps
            (5, 3, 13),  # four gaps of 3
            (1, 9, 1),  # one tap has no gap to widen
            (2, 4, 5),  # two taps, four apart
        ],
    )
    def test_values(self, kernel_size, dilation, expected):
        assert effective_kernel_size(kernel_size, dilation) == expected

    def test_is_what_an_unpadded_convolution_eats(self):
        for kernel_size, dilation in [(3, 1), (3, 5), (4, 3), (7, 2)]:
            rows = F.conv1d(torch.zeros(1, 1, 64), torch.zeros(1, 1, kernel_size), dilation=dilation).shape[-1]
            assert 64 - rows + 1 == effective_kernel_size(kernel_size, dilation)

    def test_exception(self):
        with pytest.raises(ValueError, match="kernel_size must be at least 1, got 0"):
            effective_kernel_size(0, 1)
        with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
            effective_kernel_size(3, 0)
        with pytest.raises(TypeError, match="dilation must be an int, got float"):
            effective_kernel_size(3, 2.0)


class TestTapOffsets:
    @given(st.integers(1, 5), st.integers(1, 6), st.integers(0, 8))
    @settings(max_examples=40, deadline=None)
    def test_are_the_pixels_that_torch_reads(self, kernel_size, dilation, padding):
        pixels = torch.zeros(1, 1, 80, dtype=torch.float64, requires_grad=True)
        ones = torch.ones(1, 1, kernel_size, dtype=torch.float64)
        output = F.conv1d(pixels, ones, padding=padding, dilation=dilation)
        (gradient,) = torch.autograd.grad(output[0, 0, 30], pixels)
        assert torch.equal(gradient[0, 0].nonzero()[:, 0] - 30, tap_offsets(kernel_size, dilation, padding=padding))

    def test_centre_moves_without_padding(self):
        assert tap_offsets(3, 4).double().mean() == 4  # d(k - 1)/2 - p = 4 * 2/2 - 0
        assert tap_offsets(3, 4, padding=1).double().mean() == 3
        assert tap_offsets(5, 3, padding=6).double().mean() == 0  # same padding: 3 * 4/2

    def test_exception(self):
        with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
            tap_offsets(3, 1, padding=-1)


class TestCoverage:
    @pytest.mark.parametrize(
        ("rates", "size", "reached"),
        [
            ((1, 1, 1), 7, 49),
            ((2, 2, 2), 13, 49),  # every second row: 7 of 13, 29.0 % of the pixels
            ((4, 4, 4), 25, 49),  # the same 7 rows, further apart: 7.8 %
            ((1, 2, 3), 13, 169),
            ((1, 2, 4), 15, 225),
            ((1, 2, 5), 17, 289),  # hybrid rates: every pixel
            ((1, 2, 9), 25, 441),  # rows 7, 8, 16, 17 lie between the copies of the 7-wide field: 21 of 25
            ((2, 4, 8), 29, 225),  # common factor 2: twice 1, 2, 4
            ((1, 2, 4, 8), 31, 961),
            ((6, 12, 18), 73, 169),  # multiples of 6 only: 13 of 73 rows
        ],
    )
    def test_known_stacks(self, rates, size, reached):
        counts = coverage(stack(*rates))
        assert counts.shape == (size, size)
        assert int((counts > 0).sum()) == reached

    @given(small_layers)
    @settings(max_examples=60, deadline=None)
    def test_equals_the_gradient_of_all_ones_kernels(self, layers):
        counts = coverage(layers)
        assert counts.dtype == torch.int64
        assert torch.equal(counts.double(), gradient_of_one_unit(layers, len(counts)))

    def test_axis_equals_numpy_product_of_polynomials(self):
        taps = [np.bincount(np.arange(3) * rate) for rate in (1, 3, 7)]
        expected = np.convolve(np.convolve(taps[0], taps[1]), taps[2])
        assert path_counts(stack(1, 3, 7)).tolist() == expected.tolist()

    def test_strides_carry_over_to_the_layers_above(self):
        # A dilated stack reads what a strided one reads: stride 2 twice below equals rates 1, 2, 4 above.
        strided = [Layer(3, stride=2), Layer(3, stride=2), Layer(3)]
        assert torch.equal(coverage(strided), coverage(stack(1, 2, 4)))

    @given(st.lists(st.integers(1, 9), min_size=1, max_size=4), st.integers(1, 4))
    @settings(max_examples=60, deadline=None)
    def test_laws(self, rates, kernel_size):
        counts = coverage(stack(*rates, kernel_size=kernel_size))
        assert int(counts.sum()) == kernel_size ** (2 * len(rates))  # every path ends somewhere
        assert torch.equal(counts, counts.flip(0, 1))
        assert torch.equal(counts, coverage(stack(*sorted(rates), kernel_size=kernel_size)))  # order is free
        assert int((counts > 0).sum()) <= math.ceil(len(counts) / math.gcd(*rates)) ** 2

    def test_empty_stack_is_the_pixel_itself(self):
        assert path_counts([]).tolist() == [1]
        assert coverage([]).tolist() == [[1]]

    def test_counts_stay_exact_where_floats_would_not(self):
        # 3^38 paths exceed 2^53, so a float64 sum of them is rounded.
        assert int(coverage(stack(*[1] * 19)).sum()) == 3**38

    def test_exception(self):
        with pytest.raises(ValueError, match=r"layers must have fewer than 2\^63 paths .*, got 1\.2e\+19"):
            coverage(stack(*[1] * 20))  # 3^40 is just above 2^63
        with pytest.raises(ValueError, match=r"layers must have fewer than 2\^63 paths"):
            path_counts(stack(*[1] * 40))


class TestReachBefore:
    @given(st.lists(st.integers(1, 20), max_size=5), st.integers(2, 5))
    @settings(max_examples=300, deadline=None)
    def test_says_exactly_whether_the_stack_leaves_holes(self, rates, kernel_size):
        fits = all(rate <= field for rate, field in reach_before(rates, kernel_size=kernel_size))
        assert fits == bool((path_counts(stack(*rates, kernel_size=kernel_size)) > 0).all())

    def test_no_common_factor_is_not_enough(self):
        # 2 > 1: nothing in 2, 3, 7 steps by one pixel, so the second row from either rim stays unread.
        assert reach_before([2, 3, 7]) == [(2, 1), (3, 5), (7, 11)]
        assert (path_counts(stack(2, 3, 7)) == 0).nonzero()[:, 0].tolist() == [1, 23]

    def test_empty(self):
        assert reach_before([]) == []

    def test_exception(self):
        with pytest.raises(ValueError, match="kernel_size must be at least 2, got 1"):
            reach_before([1], kernel_size=1)
        with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
            reach_before([0, 1])
        with pytest.raises(TypeError, match="kernel_size must be an int, got float"):
            reach_before([1], kernel_size=3.0)


class TestLossOfStride:
    def test_values(self):
        # Every second value of 1, 0, 1, 0, 1 says 1 everywhere: an error of 1 at two places over three ones.
        stripes = torch.tensor([[1.0, 0.0, 1.0, 0.0, 1.0]], dtype=torch.float64)
        assert loss_of_stride(stripes, 2) == pytest.approx(math.sqrt(2 / 3))

    def test_planes_come_back_and_stride_1_loses_nothing(self):
        rows, columns = torch.meshgrid(torch.arange(13.0), torch.arange(9.0), indexing="ij")
        assert loss_of_stride(3 * rows - 2 * columns + 1, 4) < 1e-6
        noise = torch.rand(7, 5, generator=torch.Generator().manual_seed(0))
        assert loss_of_stride(noise, 1) == 0

    def test_equals_scipy(self):
        values = torch.rand(11, 16, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        kept = values[::5, ::5].numpy()  # 3 x 4, at rows 0, 5, 10 and columns 0, 5, 10, 15
        spline = RegularGridInterpolator((np.arange(3) * 5, np.arange(4) * 5), kept)
        guess = spline(np.indices((11, 16)).reshape(2, -1).T).reshape(11, 16)
        exact = values.numpy()
        expected = np.linalg.norm(exact - guess) / np.linalg.norm(exact)
        assert loss_of_stride(values, 5) == pytest.approx(expected, rel=1e-12)

    def test_degenerate(self):
        assert loss_of_stride(torch.zeros(4, 4), 2) == 0  # nothing to lose
        assert loss_of_stride(torch.ones(1, 1), 9) == 0
        assert loss_of_stride(torch.rand(3, 3), 9) == 0  # one value is kept, and it is known

    def test_exception(self):
        with pytest.raises(TypeError, match="response must have a floating-point dtype"):
            loss_of_stride(torch.ones(2, 2, dtype=torch.int64), 2)
        with pytest.raises(ValueError, match=r"response must have shape \(H, W\) with H, W >= 1, got \(0, 2\)"):
            loss_of_stride(torch.ones(0, 2), 2)
        with pytest.raises(ValueError, match=r"got \(1, 2, 2\)"):
            loss_of_stride(torch.ones(1, 2, 2), 2)
        with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
            loss_of_stride(torch.ones(2, 2), 0)
