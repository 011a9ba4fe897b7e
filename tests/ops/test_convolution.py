import doctest
import itertools

import numpy as np
import pytest
import scipy.linalg
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from cvviz.ops.convolution import (
    conv_counts,
    conv_matrix,
    conv_output_size,
    conv_reads,
    conv_remainder,
    conv_transpose_counts,
    conv_transpose_output_size,
    conv_transpose_reads,
    exact_sizes,
    phase_response,
    reading,
    return_sizes,
    same_padding,
    seen_lines,
    sizes,
    stack_sizes,
    tap_matrices,
    through_stack,
)
from cvviz.ops.receptive_field import Layer

GRID = list(itertools.product((1, 5, 8, 13), (1, 2, 3, 4, 7), (1, 2, 3, 5), (0, 1, 3), (1, 2, 3)))  # n, k, s, p, d
layers = st.lists(
    st.builds(
        Layer,
        kernel_size=st.integers(1, 4),
        stride=st.integers(1, 3),
        padding=st.integers(0, 3),
        dilation=st.integers(1, 2),
    ),
    max_size=4,
)


def ones(*shape: int) -> torch.Tensor:
    return torch.ones(*shape, dtype=torch.float64)


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def fits(n: int, k: int, p: int, d: int) -> bool:
    return n + 2 * p >= d * (k - 1) + 1


@pytest.mark.parametrize("module", [sizes, reading])
def test_doctest(module):
    result = doctest.testmod(module)
    assert result.failed == 0
    assert result.attempted > 5


class TestConvOutputSize:
    @pytest.mark.parametrize(
        ("n", "k", "options", "expected"),
        [
            (5, 3, {}, 3),  # places 0, 1, 2
            (10, 3, {"stride": 2}, 4),  # places 0, 2, 4, 6; line 9 is left
            (9, 3, {"stride": 2}, 4),  # the same places, nothing left
            (224, 7, {"stride": 2, "padding": 3}, 112),  # ResNet's stem
            (227, 11, {"stride": 4}, 55),  # AlexNet
            (33, 5, {"stride": 2}, 15),  # 28 / 2 + 1
            (32, 3, {"padding": 2, "dilation": 2}, 32),  # p = d keeps the size
            (1, 1, {"stride": 9}, 1),
        ],
    )
    def test_values(self, n, k, options, expected):
        assert conv_output_size(n, k, **options) == expected

    def test_equals_torch_over_a_grid(self):
        for n, k, s, p, d in GRID:
            if not fits(n, k, p, d):
                with pytest.raises(ValueError, match="The kernel spans"):
                    conv_output_size(n, k, stride=s, padding=p, dilation=d)
                continue
            expected = F.conv1d(ones(1, 1, n), ones(1, 1, k), stride=s, padding=p, dilation=d).shape[2]
            assert conv_output_size(n, k, stride=s, padding=p, dilation=d) == expected

    def test_per_axis_equals_torch(self):
        options = {"stride": (2, 3), "padding": (1, 0), "dilation": (1, 2)}
        expected = F.conv2d(ones(1, 1, 12, 17), ones(1, 1, 3, 4), **options).shape[2:]
        assert conv_output_size((12, 17), (3, 4), **options) == tuple(expected)
        assert conv_output_size(torch.Size([12, 17]), 3, stride=[2, 1]) == (5, 15)

    def test_one_number_serves_all_axes(self):
        assert conv_output_size((8, 9, 10), 3, stride=2) == tuple(conv_output_size(n, 3, stride=2) for n in (8, 9, 10))

    def test_no_axes(self):
        assert conv_output_size((), 3) == ()

    def test_exception(self):
        with pytest.raises(ValueError, match="The kernel spans 9 lines and the padded input has 7: take a smaller"):
            conv_output_size(5, 3, padding=1, dilation=4)
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            conv_output_size(0, 1)
        with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
            conv_output_size(5, 3, stride=0)
        with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
            conv_output_size(5, 3, padding=-1)
        with pytest.raises(ValueError, match="kernel_size must be one number or 2, one per axis, got 3"):
            conv_output_size((5, 5), (3, 3, 3))
        with pytest.raises(TypeError, match="kernel_size must be an int or one int per axis, got float"):
            conv_output_size(5, 3.0)
        with pytest.raises(TypeError, match="dilation must be an int or one int per axis, got bool"):
            conv_output_size(5, 3, dilation=True)


class TestThereAndBack:
    def test_transposed_equals_torch_over_a_grid(self):
        for n, k, s, p, d in GRID:
            for op in range(max(s, d)):
                options = {"stride": s, "padding": p, "dilation": d, "output_padding": op}
                try:
                    size = conv_transpose_output_size(n, k, **options)
                except ValueError:
                    assert (n - 1) * s + d * (k - 1) + op + 1 <= 2 * p
                    continue
                assert F.conv_transpose1d(ones(1, 1, n), ones(1, 1, k), **options).shape[2] == size

    def test_per_axis_equals_torch(self):
        options = {"stride": (2, 3), "padding": (1, 0), "output_padding": (1, 2), "dilation": (1, 2)}
        expected = F.conv_transpose2d(ones(1, 1, 4, 5), ones(1, 1, 3, 4), **options).shape[2:]
        assert conv_transpose_output_size((4, 5), (3, 4), **options) == tuple(expected)

    def test_the_remainder_is_the_output_padding_that_comes_back(self):
        for n, k, s, p, d in GRID:
            if not fits(n, k, p, d):
                continue
            window = {"stride": s, "padding": p, "dilation": d}
            left = conv_remainder(n, k, **window)
            assert 0 <= left < s
            size = conv_output_size(n, k, **window)
            assert conv_transpose_output_size(size, k, output_padding=left, **window) == n

    def test_s_sizes_lead_to_one(self):
        assert [conv_output_size(n, 3, stride=3) for n in range(9, 12)] == [3, 3, 3]
        assert [conv_remainder(n, 3, stride=3) for n in range(9, 12)] == [0, 1, 2]
        assert conv_remainder((9, 10), 3, stride=3) == (0, 1)

    def test_exception(self):
        with pytest.raises(
            ValueError, match="output_padding must be smaller than the stride or the dilation, got 2 at 2"
        ):
            conv_transpose_output_size(4, 3, stride=2, output_padding=2)
        with pytest.raises(ValueError, match="padding must leave a line of the output: 2 × 2 of 3 lines are cut"):
            conv_transpose_output_size(1, 3, padding=2)
        with pytest.raises(ValueError, match="output_padding must be at least 0, got -1"):
            conv_transpose_output_size(4, 3, output_padding=-1)


class TestSamePadding:
    def test_equals_torch_at_stride_1(self):
        for n, k, d in itertools.product((5, 8), (1, 2, 3, 4, 7), (1, 2, 3)):
            before, after = same_padding(n, k, dilation=d)
            image, weight = noise(1, 1, n), noise(1, 1, k)
            padded = F.conv1d(F.pad(image, (before, after)), weight, dilation=d)
            assert torch.allclose(padded, F.conv1d(image, weight, padding="same", dilation=d), atol=1e-12)

    def test_gives_the_ceiling_at_any_stride(self):
        for n, k, s in itertools.product(range(1, 12), (1, 2, 3, 5), (1, 2, 3, 4)):
            assert conv_output_size(n + sum(same_padding(n, k, stride=s)), k, stride=s) == -(-n // s)

    def test_values(self):
        assert same_padding(7, 3, stride=2) == (1, 1)  # (4 - 1) * 2 + 3 - 7 = 2
        assert same_padding(8, 3, stride=2) == (0, 1)  # one line: at the end
        assert same_padding(8, 1, stride=2) == (0, 0)  # (4 - 1) * 2 + 1 - 8 < 0

    def test_exception(self):
        with pytest.raises(ValueError, match="kernel_size must be at least 1, got 0"):
            same_padding(8, 0)


class TestReads:
    @given(st.integers(1, 12), st.integers(1, 5), st.integers(1, 4), st.integers(0, 3), st.integers(1, 3))
    @settings(max_examples=60, deadline=None)
    def test_are_what_torch_unfolds(self, n, k, s, p, d):
        if not fits(n, k, p, d):
            return
        numbered = torch.arange(1.0, n + 1).reshape(1, 1, 1, n)
        windows = F.unfold(numbered, (1, k), dilation=(1, d), padding=(0, p), stride=(1, s))[0].T  # [n', k]
        reads = conv_reads(n, k, stride=s, padding=p, dilation=d)
        assert torch.equal(torch.where((reads >= 0) & (reads < n), reads + 1, 0).float(), windows)

    def test_uneven_padding(self):
        assert conv_reads(4, 3, stride=2, padding=(0, 1)).tolist() == [[0, 1, 2], [2, 3, 4]]

    def test_transposed_reads_are_the_gradients_of_the_inputs(self):
        for n, k, s, p, d, op in ((4, 3, 2, 1, 1, 1), (3, 2, 3, 0, 2, 2), (5, 4, 1, 2, 2, 1), (4, 3, 2, 1, 3, 2)):
            options = {"stride": s, "padding": p, "dilation": d, "output_padding": op}
            reached = conv_transpose_reads(n, k, **options)
            for line in range(n):
                one = torch.zeros(1, 1, n)
                one[..., line] = 1
                output = F.conv_transpose1d(one, torch.arange(1.0, k + 1).reshape(1, 1, k), **options)[0, 0]
                for tap, place in enumerate(reached[line].tolist()):
                    if 0 <= place < len(output):
                        assert output[place] == tap + 1
                inside = ((reached[line] >= 0) & (reached[line] < len(output))).sum()
                assert (output != 0).sum() == inside

    def test_tap_matrices_drop_the_padding(self):
        taps = tap_matrices(conv_reads(2, 3, padding=1), 2)
        assert taps.sum(0).tolist() == [[1, 1], [1, 1]]
        assert taps[0].tolist() == [[0, 0], [1, 0]]  # the first tap of the first output lies on padding

    def test_exception(self):
        with pytest.raises(ValueError, match=r"reads must have shape \(n', k\), got \(3,\)"):
            tap_matrices(torch.arange(3), 3)
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            tap_matrices(torch.zeros(1, 1), 0)
        with pytest.raises(TypeError, match="reads must be a Tensor, got list"):
            tap_matrices([[0]], 1)
        with pytest.raises(ValueError, match="padding must be at least 0, got -1"):
            conv_reads(4, 3, padding=-1)


class TestConvMatrix:
    @pytest.mark.parametrize("groups", [1, 2])
    @pytest.mark.parametrize(("stride", "padding", "dilation"), [(1, 0, 1), (2, 1, 1), (3, 2, 2)])
    @pytest.mark.parametrize(
        ("size", "forward", "backward"),
        [((9,), F.conv1d, F.conv_transpose1d), ((6, 7), F.conv2d, F.conv_transpose2d)],
    )
    def test_times_x_is_the_convolution_and_times_y_the_transposed(
        self, size, forward, backward, stride, padding, dilation, groups
    ):
        window = {"stride": stride, "padding": padding, "dilation": dilation}
        weight, x = noise(6, 4 // groups, *(3,) * len(size)), noise(1, 4, *size)
        matrix = conv_matrix(weight, size, groups=groups, **window)
        y = forward(x, weight, groups=groups, **window)
        assert torch.allclose(matrix @ x.flatten(), y.flatten(), atol=1e-10)
        left = list(conv_remainder(size, 3, **window))
        back = backward(y, weight, groups=groups, output_padding=left, **window)
        assert torch.allclose(matrix.T @ y.flatten(), back.flatten(), atol=1e-10)

    def test_is_toeplitz_at_stride_1(self):
        matrix = conv_matrix(torch.tensor([[[1.0, 2.0, 3.0]]]), (6,))
        expected = scipy.linalg.toeplitz([1, 0, 0, 0], [1, 2, 3, 0, 0, 0])
        assert np.array_equal(matrix.numpy(), expected)

    def test_is_the_jacobian(self):
        weight = noise(2, 1, 3, 3)
        jacobian = torch.autograd.functional.jacobian(
            lambda x: F.conv2d(x.reshape(1, 1, 5, 5), weight, stride=2).flatten(), noise(25)
        )
        assert torch.allclose(conv_matrix(weight, (5, 5), stride=2), jacobian, atol=1e-12)

    def test_gradcheck(self):
        weight = noise(2, 1, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda w: conv_matrix(w, (5,), stride=2, padding=1), weight)

    def test_keeps_the_dtype(self):
        assert conv_matrix(torch.ones(1, 1, 2), (3,)).dtype == torch.float32

    def test_exception(self):
        with pytest.raises(TypeError, match="weight must have a floating-point dtype"):
            conv_matrix(torch.ones(1, 1, 3, dtype=torch.int64), (5,))
        with pytest.raises(ValueError, match="weight must have 2 more axes than size, 3 or 4, got 4 and 1"):
            conv_matrix(torch.ones(1, 1, 3, 3), (5,))
        with pytest.raises(ValueError, match="groups must divide the 3 output channels, got 2"):
            conv_matrix(torch.ones(3, 1, 3), (5,), groups=2)
        with pytest.raises(ValueError, match="The kernel spans 3 lines"):
            conv_matrix(torch.ones(1, 1, 3), (2,))


class TestCounts:
    @given(st.integers(1, 9), st.integers(1, 4), st.integers(1, 3), st.integers(0, 3), st.integers(1, 3))
    @settings(max_examples=60, deadline=None)
    def test_convolution_equals_autograd(self, n, k, s, p, d):
        if not fits(n, k, p, d):
            return
        pixels = ones(1, 1, n, n + 1).requires_grad_()
        outputs = F.conv2d(pixels, ones(1, 1, k, k), stride=s, padding=p, dilation=d)
        (gradient,) = torch.autograd.grad(outputs.sum(), pixels)
        counts = conv_counts((n, n + 1), k, stride=s, padding=((p, p), (p, p)), dilation=d)
        assert torch.equal(counts.outputs.double(), outputs[0, 0])
        assert torch.equal(counts.pixels.double(), gradient[0, 0])
        assert int(counts.reach.sum()) == counts.outputs.numel() * k**2  # every tap of every output lands somewhere

    @given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.integers(1, 3))
    @settings(max_examples=60, deadline=None)
    def test_transposed_equals_torch(self, n, k, s, p, d):
        options = {"stride": s, "padding": p, "dilation": d, "output_padding": max(s, d) - 1}
        if (n - 1) * s + d * (k - 1) + max(s, d) <= 2 * p:
            return
        weight, pixels = noise(k, k), ones(1, 1, n, n + 1).requires_grad_()
        counts = conv_transpose_counts(weight, (n, n + 1), **options)
        expected = F.conv_transpose2d(pixels, weight[None, None], **options)[0, 0]
        products = F.conv_transpose2d(pixels, ones(1, 1, k, k), **options)
        (gradient,) = torch.autograd.grad(products.sum(), pixels)
        assert torch.allclose(counts.outputs, expected, atol=1e-12)
        assert torch.equal(counts.products.double(), products[0, 0])
        assert torch.equal(counts.pixels.double(), gradient[0, 0])

    def test_the_last_line_is_never_read(self):
        counts = conv_counts((10, 9), 3, stride=2)
        assert counts.pixels[-1].tolist() == [0] * 9  # 7 / 2 leaves 1
        assert bool((counts.pixels[:-1] > 0).all())

    def test_gradcheck(self):
        weight = noise(3, 3).requires_grad_()
        assert torch.autograd.gradcheck(lambda w: conv_transpose_counts(w, (2, 3), stride=2).outputs, weight)

    def test_exception(self):
        with pytest.raises(ValueError, match=r"weight must have shape \(kh, kw\), got \(3,\)"):
            conv_transpose_counts(torch.ones(3), (2, 2))
        with pytest.raises(TypeError, match="weight must have a floating-point dtype"):
            conv_transpose_counts(torch.ones(3, 3, dtype=torch.int64), (2, 2))
        with pytest.raises(ValueError, match="The kernel spans 3 lines"):
            conv_counts((2, 5), 3)


class TestPhaseResponse:
    @pytest.mark.parametrize(
        ("k", "s", "d", "expected"),
        [
            (3, 2, 1, [[4, 2], [2, 1]]),  # taps 0 and 2 on even places, tap 1 on odd ones
            (4, 2, 1, [[4, 4], [4, 4]]),
            (5, 2, 1, [[9, 6], [6, 4]]),
            (4, 2, 2, [[16, 0], [0, 0]]),  # all taps on even places: three outputs in four get nothing
            (4, 2, 3, [[4, 4], [4, 4]]),  # 3 and 2 share no factor
            (1, 3, 1, [[1, 0, 0], [0, 0, 0], [0, 0, 0]]),
        ],
    )
    def test_counts(self, k, s, d, expected):
        assert phase_response(ones(k, k), stride=s, dilation=d).tolist() == expected

    @given(st.integers(1, 5), st.integers(1, 4), st.integers(1, 3), st.integers(0, 2))
    @settings(max_examples=60, deadline=None)
    def test_is_what_torch_gives_far_from_the_rim(self, k, s, d, p):
        weight, n = noise(k, k), 2 * d * (k - 1) + 8
        output = F.conv_transpose2d(ones(1, 1, n, n), weight[None, None], stride=s, padding=p, dilation=d)[0, 0]
        start = d * (k - 1) + s  # at least d(k - 1) - p, with room for a period behind it
        start += -(start + p) % s  # phase 0
        expected = output[start : start + s, start : start + s]
        assert torch.allclose(phase_response(weight, stride=s, dilation=d), expected, atol=1e-12)

    def test_bilinear_weights_of_twice_the_stride_are_flat(self):
        line = torch.tensor([0.25, 0.75, 0.75, 0.25])
        assert phase_response(torch.outer(line, line), stride=2).tolist() == [[1, 1], [1, 1]]

    def test_exception(self):
        with pytest.raises(ValueError, match=r"weight must have shape \(kh, kw\), got \(1, 3, 3\)"):
            phase_response(ones(1, 3, 3), stride=2)
        with pytest.raises(ValueError, match="stride must be at least 1, got 0"):
            phase_response(ones(3, 3), stride=0)
        with pytest.raises(ValueError, match="dilation must be at least 1, got 0"):
            phase_response(ones(3, 3), stride=2, dilation=0)


class TestStacks:
    @given(layers, st.integers(1, 40))
    @settings(max_examples=80, deadline=None)
    def test_equal_torch_layer_by_layer(self, stack, n):
        pixels = ones(1, 1, n).requires_grad_()
        maps = [pixels]
        try:
            found = through_stack(stack, n)
        except ValueError as problem:
            assert "does not fit" in str(problem)
            return
        for layer in stack:
            window = {"stride": layer.stride, "padding": layer.padding, "dilation": layer.dilation}
            maps.append(F.conv1d(maps[-1], ones(1, 1, layer.kernel_size), **window))
        assert found.sizes == [one.shape[2] for one in maps]
        (gradient,) = torch.autograd.grad(maps[-1].sum(), pixels, materialize_grads=True)
        assert torch.equal(found.seen, gradient[0, 0] > 0)

    def test_alexnet_wants_227(self):
        stack = [Layer(11, 4), Layer(3, 2), Layer(5, 1, 2), Layer(3, 2), *[Layer(3, 1, 1)] * 3, Layer(3, 2)]
        assert stack_sizes(stack, 227) == ([227, 55, 27, 27, 13, 13, 13, 13, 6], [0] * 8)
        assert stack_sizes(stack, 224)[0][-1] == 5
        assert 227 in exact_sizes(stack)

    def test_a_unet_comes_back_at_multiples_of_16(self):
        stack = [Layer(3, 1, 1), Layer(2, 2)] * 4
        assert exact_sizes(stack, most=64).tolist() == [16, 32, 48, 64]
        for n in (96, 100):
            last = stack_sizes(stack, n)[0][-1]
            assert return_sizes(stack, last)[0] == 96

    @given(layers, st.integers(1, 60))
    @settings(max_examples=80, deadline=None)
    def test_exact_sizes_are_those_without_a_remainder(self, stack, n):
        try:
            dropped = stack_sizes(stack, n)[1]
        except ValueError:
            dropped = [1]
        assert (n in exact_sizes(stack, most=60).tolist()) == (not any(dropped))

    def test_empty_stack(self):
        found = through_stack([], 7, back=True)
        assert (found.sizes, found.dropped, found.back, found.seen.tolist()) == ([7], [], [7], [True] * 7)

    def test_a_stride_without_a_kernel_sees_little(self):
        assert seen_lines([Layer(1, 2)] * 3, 16).nonzero()[:, 0].tolist() == [0, 8]

    def test_exception(self):
        with pytest.raises(
            ValueError, match=r"Layer 2 of 2 does not fit\. The kernel spans 3 lines and the padded input has 2"
        ):
            stack_sizes([Layer(3), Layer(3)], 4)
        with pytest.raises(ValueError, match="size must be at least 1, got 0"):
            stack_sizes([], 0)
        with pytest.raises(TypeError, match="size must be an int or one int per axis, got float"):
            return_sizes([], 2.0)
        with pytest.raises(ValueError, match="padding must leave a line"):
            return_sizes([Layer(1, 1, 1)], 2)
        with pytest.raises(ValueError, match="The kernel spans 3 lines"):
            seen_lines([Layer(3)], 2)
