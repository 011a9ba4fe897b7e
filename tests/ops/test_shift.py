import doctest
from functools import partial

import pytest
import torch
import torch.nn.functional as F
from scipy.ndimage import fourier_shift
from scipy.signal import convolve2d

import cvviz.ops.shift as module
from cvviz.ops.shift import binomial_filter, circular_pool2d, fourier_shifts, pool_shifts, shift_errors

KINDS = ("subsample", "max", "average", "lp", "blur", "global")


def image(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def test_doctest():
    assert doctest.testmod(module).failed == 0


class TestBinomialFilter:
    def test_values(self):
        assert binomial_filter(1).tolist() == [1.0]
        assert binomial_filter(5).tolist() == [1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16]

    def test_removes_the_finest_stripes(self):
        stripes = torch.tensor([1.0, -1.0] * 8, dtype=torch.float64)
        for taps in range(2, 8):
            assert torch.allclose(
                F.conv1d(stripes[None, None], binomial_filter(taps)[None, None]), torch.zeros(()).double()
            )

    def test_exception(self):
        with pytest.raises(ValueError, match="taps must be at least 1, got 0"):
            binomial_filter(0)


class TestCircularPool2d:
    def test_values(self):
        line = torch.tensor([[[3.0, 1.0, 4.0, 2.0]]])
        maps = line.expand(1, 4, 4).clone()
        # The window of the last column reads columns 3 and 0.
        most = circular_pool2d(maps, "max", kernel_size=2, stride=1)
        assert most[0, 0].tolist() == [3, 4, 4, 3]
        assert circular_pool2d(maps, "subsample")[0, 0].tolist() == [3, 4]
        assert circular_pool2d(maps, "global")[0].tolist() == [[2.5]]

    def test_without_wrapping_it_is_torch(self):
        maps = image(2, 3, 8, 8)
        assert torch.equal(circular_pool2d(maps, "max"), F.max_pool2d(maps, 2))
        assert torch.allclose(circular_pool2d(maps, "average"), F.avg_pool2d(maps, 2))
        assert torch.allclose(circular_pool2d(maps, "lp", p=3.0), F.lp_pool2d(maps, 3.0, 2))

    def test_blur_equals_scipy(self):
        maps = image(1, 8, 8)
        row = binomial_filter(3)
        dense = circular_pool2d(maps, "max", kernel_size=3, stride=1)[0].numpy()
        blurred = convolve2d(dense, torch.outer(row, row).numpy(), mode="same", boundary="wrap")
        found = circular_pool2d(maps, "blur", kernel_size=3, stride=2, taps=3)[0]
        assert torch.allclose(found, torch.from_numpy(blurred).roll((-1, -1), (0, 1))[::2, ::2])

    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("stride", [1, 2, 3])
    def test_moves_along_with_multiples_of_the_stride(self, kind, stride):
        maps = image(2, 12, 12)
        pool = partial(circular_pool2d, kind=kind, kernel_size=4, stride=stride)
        moved = pool(maps.roll((stride, 2 * stride), (1, 2)))
        assert torch.allclose(moved, pool(maps).roll((1, 2), (1, 2)) if kind != "global" else pool(maps))

    def test_one_tap_is_no_blur(self):
        maps = image(1, 6, 6)
        assert torch.allclose(circular_pool2d(maps, "blur", taps=1), circular_pool2d(maps, "max"))

    def test_batched_equals_loop(self):
        maps = image(3, 2, 6, 6)
        for kind in KINDS:
            alone = torch.stack([circular_pool2d(each, kind) for each in maps])
            assert torch.allclose(circular_pool2d(maps, kind), alone)

    def test_exception(self):
        with pytest.raises(ValueError, match=r"sides divisible by 2, got \(1, 5, 6\)"):
            circular_pool2d(torch.zeros(1, 5, 6), "max")
        with pytest.raises(ValueError, match=r"maps must be \(\.\.\., C, H, W\)"):
            circular_pool2d(torch.zeros(4, 4), "max")
        with pytest.raises(TypeError, match="maps must have a floating-point dtype"):
            circular_pool2d(torch.zeros(1, 4, 4, dtype=torch.int64), "max")


class TestPoolShifts:
    @pytest.mark.parametrize("kind", KINDS)
    @pytest.mark.parametrize("stride", [1, 2, 3])
    def test_equals_pooling_every_shift(self, kind, stride):
        shifted = torch.stack([image(2, 6, 12).roll(shift, -1) for shift in range(9)])
        options = {"kernel_size": 3, "stride": stride, "p": 3.0, "taps": 5}
        torch.testing.assert_close(pool_shifts(shifted, kind, **options), circular_pool2d(shifted, kind, **options))

    def test_fewer_shifts_than_a_stride(self):
        shifted = torch.stack([image(1, 6, 12), image(1, 6, 12).roll(1, -1)])
        pooled = pool_shifts(shifted, "max", stride=3)
        torch.testing.assert_close(pooled, circular_pool2d(shifted, "max", stride=3))

    def test_exceptions(self):
        with pytest.raises(TypeError, match="maps must have a floating-point dtype"):
            pool_shifts(torch.ones(3, 1, 4, 4, dtype=torch.int64), "max")
        with pytest.raises(ValueError, match="sides divisible by 3"):
            pool_shifts(torch.ones(3, 1, 4, 4), "max", stride=3)


class TestFourierShifts:
    @pytest.mark.parametrize("shape", [(1, 7, 6), (2, 8, 5)])
    def test_whole_shifts_are_rolls(self, shape):
        maps = image(*shape)
        found = fourier_shifts(maps, torch.tensor([[0.0, 0.0], [2.0, -1.0]]))
        assert torch.allclose(found[0], maps)
        assert torch.allclose(found[1], maps.roll((2, -1), (1, 2)))

    def test_moves_a_wave_by_its_phase(self):
        place = torch.arange(16, dtype=torch.float64)
        wave = torch.sin(2 * torch.pi * 3 * place / 16).expand(1, 4, 16)
        expected = torch.sin(2 * torch.pi * 3 * (place - 0.4) / 16)
        assert torch.allclose(fourier_shifts(wave, torch.tensor([[0.0, 0.4]]).double())[0, 0, 0], expected)

    def test_equals_scipy_on_odd_sides(self):
        maps = image(1, 9, 7)
        spectrum = fourier_shift(torch.fft.fft2(maps[0]).numpy(), (0.3, 1.7))
        expected = torch.fft.ifft2(torch.from_numpy(spectrum)).real
        assert torch.allclose(fourier_shifts(maps, torch.tensor([[0.3, 1.7]]).double())[0, 0], expected)

    def test_keeps_the_mean_and_there_and_back_is_nowhere(self):
        maps = image(1, 9, 9)
        there = fourier_shifts(maps, torch.tensor([[0.5, 0.25]]).double())[0]
        assert there.mean().item() == pytest.approx(maps.mean().item())
        assert torch.allclose(fourier_shifts(there, torch.tensor([[-0.5, -0.25]]).double())[0], maps)

    def test_gradcheck(self):
        shifts = torch.tensor([[0.5, 1.2]]).double()
        assert torch.autograd.gradcheck(lambda x: fourier_shifts(x, shifts), image(1, 4, 5).requires_grad_())

    def test_exception(self):
        with pytest.raises(ValueError, match=r"shifts must have shape \(D, 2\), got \(2,\)"):
            fourier_shifts(image(1, 4, 4), torch.zeros(2))
        with pytest.raises(TypeError, match="shifts must have a floating-point dtype"):
            fourier_shifts(image(1, 4, 4), torch.zeros(1, 2, dtype=torch.int64))
        with pytest.raises(ValueError, match=r"image must have shape \(C, H, W\), got \(4, 4\)"):
            fourier_shifts(image(4, 4), torch.zeros(1, 2))


class TestShiftErrors:
    def test_global_is_invariant_and_stride_one_equivariant(self):
        maps, shifts = image(2, 12, 12), [(0, 1), (3, 5)]
        assert shift_errors(maps, partial(circular_pool2d, kind="global"), shifts, stride=2).max() < 1e-12
        for kind in KINDS[:-1]:
            change, along = shift_errors(maps, partial(circular_pool2d, kind=kind, stride=1), shifts, stride=1)
            assert change.min() > 0.1
            assert along.max() < 1e-12

    def test_unrelated_maps_are_root_two_apart(self):
        noise = torch.randn(1, 96, 96, generator=torch.Generator().manual_seed(0))
        change, _ = shift_errors(noise, lambda maps: maps[..., ::2, ::2], [(0, 1)], stride=2)
        assert change.item() == pytest.approx(2**0.5, rel=0.05)

    def test_a_dot_inside_its_window_changes_nothing(self):
        dot = torch.zeros(1, 8, 8)
        dot[0, 4, 4] = 1
        pool = partial(circular_pool2d, kind="max")
        change, along = shift_errors(dot, pool, [(0, 1), (0, 2)], stride=2)
        assert change.tolist() == pytest.approx([0, 2**0.5], rel=0.05)  # within its window; into the next
        assert along[1] < 1e-6 < along[0]

    def test_flat_outputs_are_measured_in_the_input(self):
        stripes = torch.tensor([1.0, 0.0] * 4).expand(1, 8, 8)
        change, _ = shift_errors(stripes, lambda maps: maps[..., ::2, ::2], [(0, 1)], stride=2)
        assert change.item() == pytest.approx(2)  # from 1 to 0, where the input's deviation is 1/2

    def test_flat_input_is_no_error(self):
        flat = torch.full((1, 6, 6), 0.3, dtype=torch.float64)
        for kind in KINDS:
            assert shift_errors(flat, partial(circular_pool2d, kind=kind), [(1, 1)], stride=2).max() < 1e-6

    def test_no_shift_and_no_shifts(self):
        pool = partial(circular_pool2d, kind="max")
        assert shift_errors(image(1, 6, 6), pool, [(0, 0)], stride=2).max() < 1e-12

    def test_exception(self):
        with pytest.raises(ValueError, match=r"image must have shape \(C, H, W\), got \(6, 6\)"):
            shift_errors(image(6, 6), lambda maps: maps, [(0, 1)], stride=1)
        with pytest.raises(TypeError, match="image must have a floating-point dtype"):
            shift_errors(torch.zeros(1, 4, 4, dtype=torch.int64), lambda maps: maps, [(0, 1)], stride=1)
