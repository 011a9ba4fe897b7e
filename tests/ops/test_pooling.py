import doctest

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cvviz.ops.pooling as module
from cvviz.ops.pooling import Windows, adaptive_spans, pool2d, power_pool2d, window_spans


def image(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_doctest():
    assert doctest.testmod(module).failed == 0


class TestWindowSpans:
    def test_values(self):
        assert window_spans(6, 3, stride=2) == [(0, 3), (2, 5)]  # the last line is not read: 4 + 3 > 6
        assert window_spans(6, 3, stride=2, ceil_mode=True) == [(0, 3), (2, 5), (4, 6)]  # one hangs over
        assert window_spans(6, 3, stride=2, padding=1) == [(0, 3), (2, 5), (4, 7)]  # 8 lines with padding
        # (2 + 2 - 2) / 3 + 1 rounds up to 2, and the second window starts at line 3, which is padding: it is dropped.
        assert window_spans(2, 2, stride=3, padding=1, ceil_mode=True) == [(0, 2)]

    @given(st.integers(1, 20), st.integers(1, 7), st.integers(1, 8), st.integers(0, 3), st.booleans())
    @settings(max_examples=200, deadline=None)
    def test_are_the_lines_that_torch_reads(self, size, kernel_size, stride, padding, ceil_mode):
        assume(padding <= kernel_size // 2 and size + 2 * padding >= kernel_size)
        line = torch.zeros(1, 1, size, dtype=torch.float64, requires_grad=True)
        output = F.avg_pool1d(line, kernel_size, stride, padding, ceil_mode)[0, 0]
        spans = window_spans(size, kernel_size, stride=stride, padding=padding, ceil_mode=ceil_mode)
        assert len(spans) == len(output)
        for value, (first, end) in zip(output, spans, strict=True):
            (gradient,) = torch.autograd.grad(value, line, retain_graph=True)
            read = [index + padding for index in gradient[0, 0].nonzero()[:, 0].tolist()]
            assert read == [index for index in range(first, end) if padding <= index < size + padding]

    def test_exception(self):
        with pytest.raises(ValueError, match="must be at least 1, got 0, 2 and 1"):
            window_spans(0, 2, stride=1)
        with pytest.raises(ValueError, match=r"padding must lie in \[0, 1\], got 2"):
            window_spans(8, 3, stride=1, padding=2)
        with pytest.raises(ValueError, match="window of 4 px does not fit into 3 px"):
            window_spans(3, 4, stride=1)


class TestAdaptiveSpans:
    def test_values(self):
        assert adaptive_spans(6, 3) == [(0, 2), (2, 4), (4, 6)]  # divides: plain windows
        assert adaptive_spans(12, 5) == [(0, 3), (2, 5), (4, 8), (7, 10), (9, 12)]  # unequal, overlapping
        assert adaptive_spans(2, 4) == [(0, 1), (0, 1), (1, 2), (1, 2)]  # more than there are: repeated
        assert adaptive_spans(7, 1) == [(0, 7)]

    @given(st.integers(1, 30), st.integers(1, 30))
    @settings(max_examples=100, deadline=None)
    def test_are_the_lines_that_torch_reads(self, size, output_size):
        values = torch.arange(size, dtype=torch.float64)[None, None]
        means = F.adaptive_avg_pool1d(values, output_size)[0, 0]
        expected = [values[0, 0, first:end].mean() for first, end in adaptive_spans(size, output_size)]
        assert torch.allclose(means, torch.stack(expected))

    def test_exception(self):
        with pytest.raises(ValueError, match="must be at least 1, got 3 and 0"):
            adaptive_spans(3, 0)


class TestPool2d:
    @pytest.mark.parametrize("windows", [Windows(), Windows(kernel_size=3, stride=1, padding=1), Windows(stride=3)])
    def test_equals_unfolded_windows(self, windows):
        maps = image(2, 9, 8)
        k, s, p = windows.kernel_size, windows.stride, windows.padding
        for pool, fill in (("max", -torch.inf), ("average", 0.0), ("lp", 0.0)):
            cells = F.pad(maps, (p, p, p, p), value=fill).unfold(1, k, s).unfold(2, k, s)  # [C, R, C', k, k]
            expected = {
                "max": cells.amax((3, 4)),
                "average": cells.mean((3, 4)),
                "lp": torch.linalg.vector_norm(cells, ord=3.0, dim=(3, 4)),
            }[pool]
            assert torch.allclose(pool2d(maps, pool, windows, p=3.0), expected)

    def test_corner_of_an_average_counts_zeros_or_does_not(self):
        ones = torch.ones(1, 4, 4)
        counted = pool2d(ones, "average", Windows(kernel_size=3, stride=1, padding=1))
        assert counted[0, 0, 0].item() == pytest.approx(4 / 9)  # four cells and five zeros
        left_out = Windows(kernel_size=3, stride=1, padding=1, count_include_pad=False)
        assert bool((pool2d(ones, "average", left_out) == 1).all())

    def test_global_is_the_mean_and_the_maximum_of_a_map(self):
        maps = image(3, 5, 7)
        assert torch.allclose(pool2d(maps, "average", Windows(kind="global"))[:, 0, 0], maps.mean((1, 2)))
        assert torch.equal(pool2d(maps, "max", Windows(kind="global"))[:, 0, 0], maps.amax((1, 2)))

    def test_channels_do_not_mix(self):
        maps, windows = image(3, 6, 6), Windows(kind="adaptive", output_size=4)
        for pool in ("max", "average", "lp"):
            alone = torch.cat([pool2d(maps[[channel]], pool, windows) for channel in range(3)])
            assert torch.allclose(pool2d(maps, pool, windows), alone)

    def test_order_of_the_poolings(self):
        maps, windows = image(1, 8, 8).abs(), Windows(kernel_size=3)
        average, most, norm = (pool2d(maps, pool, windows, p=2.0) for pool in ("average", "max", "lp"))
        assert bool((average <= most).all() and (most <= norm).all())

    def test_exception(self):
        with pytest.raises(ValueError, match=r"image must have shape \(C, H, W\), got \(4, 4\)"):
            pool2d(torch.zeros(4, 4), "max", Windows())
        with pytest.raises(TypeError, match="image must have a floating-point dtype"):
            pool2d(torch.zeros(1, 4, 4, dtype=torch.int64), "max", Windows())


class TestPowerPool2d:
    def test_values(self):
        cells, rows, columns = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]), [(0, 2)], [(0, 2)]
        assert power_pool2d(cells, rows, columns, p=1).item() == pytest.approx(10)  # the sum
        assert power_pool2d(cells, rows, columns, p=1, mean=True).item() == pytest.approx(2.5)
        assert power_pool2d(cells, rows, columns, p=2).item() == pytest.approx(30**0.5)
        assert power_pool2d(cells, rows, columns, p=500).item() == pytest.approx(4)  # the largest, without overflow

    def test_equals_torch_where_torch_is_a_norm(self):
        maps = image(2, 6, 6).abs()
        spans = window_spans(6, 2, stride=2)
        for p in (1.0, 2.0, 5.5):
            assert torch.allclose(power_pool2d(maps, spans, spans, p=p), F.lp_pool2d(maps, p, 2))

    def test_where_torch_is_none(self):
        signs = torch.tensor([[[1.0, -1.0], [0.0, 0.0]]])
        assert F.lp_pool2d(signs, 1.0, 2).item() == 0
        assert power_pool2d(signs, [(0, 2)], [(0, 2)], p=1).item() == 2
        spans = window_spans(3, 2, stride=2, ceil_mode=True)
        ones = torch.ones(1, 3, 3)
        assert F.lp_pool2d(ones, 1.0, 2, 2, ceil_mode=True)[0, 1, 1] == 4  # one cell, taken for four
        assert power_pool2d(ones, spans, spans, p=1)[0, 1, 1] == 1

    def test_rises_and_falls_towards_the_maximum(self):
        maps, spans = image(1, 6, 6).abs(), window_spans(6, 3, stride=3)
        most = F.max_pool2d(maps, 3)
        norms = torch.stack([power_pool2d(maps, spans, spans, p=p) for p in (1, 2, 4, 16)])
        means = torch.stack([power_pool2d(maps, spans, spans, p=p, mean=True) for p in (1, 2, 4, 16)])
        assert bool((norms.diff(dim=0) <= 0).all() and (norms >= most).all())
        assert bool((means.diff(dim=0) >= 0).all() and (means <= most).all())

    def test_gradcheck(self):
        maps = (image(2, 4, 5).abs() + 0.1).requires_grad_()
        for p in (1.0, 2.5):
            assert torch.autograd.gradcheck(lambda x, p=p: power_pool2d(x, [(0, 2), (1, 4)], [(0, 5)], p=p), maps)

    def test_zeros_have_no_gradient_instead_of_nan(self):
        zeros = torch.zeros(1, 2, 2, requires_grad=True)
        output = power_pool2d(zeros, [(0, 2)], [(0, 2)], p=3)
        assert output.item() == 0
        assert torch.autograd.grad(output.sum(), zeros)[0].abs().max() == 0

    def test_exception(self):
        with pytest.raises(ValueError, match=r"p must lie in \[1, inf\], got 0.5"):
            power_pool2d(torch.zeros(1, 2, 2), [(0, 2)], [(0, 2)], p=0.5)
