import math

import cv2
import numpy as np
import pytest
import torch
from scipy.signal import convolve2d, correlate2d
from scipy.signal.windows import gaussian

from cvviz.ops.kernels import filter2d, gabor_kernel, gaussian_kernel, pad2d


def random(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class TestPad2d:
    @pytest.mark.parametrize(
        ("mode", "name"), [("zeros", "constant"), ("reflect", "reflect"), ("replicate", "edge"), ("circular", "wrap")]
    )
    @pytest.mark.parametrize("padding", [0, 1, 3])
    def test_like_numpy(self, mode, name, padding):
        image = random(2, 5, 4)
        sides = [(0, 0), (padding, padding), (padding, padding)]
        assert np.array_equal(pad2d(image, padding, mode=mode).numpy(), np.pad(image.numpy(), sides, mode=name))

    def test_the_image_is_left_alone(self):
        image = random(1, 3, 3)
        before = image.clone()
        pad2d(image, 1)
        assert torch.equal(image, before)

    def test_exceptions(self):
        with pytest.raises(ValueError, match=r"image must have shape \(C, H, W\), got \(3, 3\)"):
            pad2d(random(3, 3), 1)
        with pytest.raises(ValueError, match="padding must not be negative, got -1"):
            pad2d(random(1, 3, 3), -1)
        with pytest.raises(ValueError, match="by reflect can add at most 2 px to 3 × 5 pixels, got 3"):
            pad2d(random(1, 3, 5), 3, mode="reflect")
        with pytest.raises(ValueError, match="by circular can add at most 3 px"):
            pad2d(random(1, 3, 5), 4, mode="circular")


class TestFilter2d:
    @pytest.mark.parametrize("shape", [(1, 1), (3, 3), (2, 5), (7, 7)])
    @pytest.mark.parametrize(("flip", "route"), [(False, correlate2d), (True, convolve2d)])
    def test_like_scipy(self, shape, flip, route):
        image, kernel = random(1, 9, 11), random(1, 1, *shape, seed=1)
        expected = route(image[0].numpy(), kernel[0, 0].numpy(), mode="valid")
        assert np.allclose(filter2d(image, kernel, flip=flip)[0].numpy(), expected, atol=1e-12)

    def test_like_opencv_with_its_border(self):
        # OpenCV's default border mirrors without repeating the edge, which is "reflect".
        image, kernel = random(1, 8, 8), random(1, 1, 3, 3, seed=1)
        expected = cv2.filter2D(image[0].numpy(), -1, kernel[0, 0].numpy())
        assert np.allclose(filter2d(image, kernel, padding=1, mode="reflect")[0].numpy(), expected, atol=1e-12)

    def test_channels_are_summed(self):
        image, kernel = random(3, 6, 6), random(2, 3, 3, 3, seed=1)
        parts = [filter2d(image[c : c + 1], kernel[:, c : c + 1]) for c in range(3)]
        assert torch.allclose(filter2d(image, kernel), sum(parts))

    def test_stride_keeps_every_second_place(self):
        image, kernel = random(1, 9, 9), random(1, 1, 3, 3, seed=1)
        assert torch.equal(filter2d(image, kernel, stride=2), filter2d(image, kernel)[:, ::2, ::2])

    def test_dilation_is_a_kernel_with_gaps(self):
        image, kernel = random(1, 9, 9), random(1, 1, 3, 3, seed=1)
        gaps = torch.zeros(1, 1, 5, 5, dtype=torch.float64)
        gaps[..., ::2, ::2] = kernel
        assert torch.allclose(filter2d(image, kernel, dilation=2), filter2d(image, gaps))

    def test_convolution_commutes_and_correlation_does_not(self):
        first, second = random(1, 5, 5), random(1, 5, 5, seed=1)
        for flip, same in ((True, True), (False, False)):
            one = filter2d(first, second[None], padding=4, flip=flip)
            other = filter2d(second, first[None], padding=4, flip=flip)
            assert torch.allclose(one, other) is same

    def test_gradcheck(self):
        image, kernel = random(2, 4, 4).requires_grad_(), random(2, 2, 2, 2, seed=1).requires_grad_()
        assert torch.autograd.gradcheck(lambda x, w: filter2d(x, w, padding=1, flip=True), (image, kernel))

    def test_exceptions(self):
        image, kernel = random(1, 4, 4), random(1, 1, 3, 3)
        with pytest.raises(ValueError, match=r"weight must have shape \(F, C, kh, kw\), got \(3, 3\)"):
            filter2d(image, kernel[0, 0])
        with pytest.raises(ValueError, match="weight takes 1 channels, image has 2"):
            filter2d(random(2, 4, 4), kernel)
        with pytest.raises(ValueError, match="at least 1, got 0 and 1"):
            filter2d(image, kernel, stride=0)
        with pytest.raises(ValueError, match="spans 5 × 5 pixels and the padded input has 4 × 4: take a smaller"):
            filter2d(image, kernel, dilation=2)


class TestGaussianKernel:
    @pytest.mark.parametrize(("size", "sigma"), [(1, 1.0), (5, 1.0), (7, 2.5), (4, 0.7)])
    def test_like_scipy(self, size, sigma):
        line = gaussian(size, sigma)
        expected = np.outer(line, line) / line.sum() ** 2
        assert np.allclose(gaussian_kernel(size, sigma=sigma).numpy(), expected, atol=1e-12)

    def test_rank_one(self):
        assert torch.linalg.matrix_rank(gaussian_kernel(5, sigma=1.0)) == 1

    def test_exceptions(self):
        with pytest.raises(ValueError, match="size must be at least 1 and sigma positive, got 3 and 0"):
            gaussian_kernel(3, sigma=0)


class TestGaborKernel:
    @pytest.mark.parametrize("theta", [0.0, math.pi / 4, 1.0, math.pi / 2])
    def test_like_opencv(self, theta):
        expected = cv2.getGaborKernel((7, 7), 2.0, theta, 4.0, 1.0, 0.0)
        assert np.allclose(gabor_kernel(7, sigma=2.0, theta=theta, wavelength=4.0).numpy(), expected, atol=1e-12)

    def test_even_under_half_a_turn(self):
        kernel = gabor_kernel(9, sigma=2.0, theta=0.6, wavelength=5.0)
        assert torch.allclose(kernel, kernel.flip(0, 1))

    def test_exceptions(self):
        with pytest.raises(ValueError, match="size must be odd, got 4"):
            gabor_kernel(4, sigma=1.0, theta=0.0, wavelength=4.0)
        with pytest.raises(ValueError, match=r"sigma and wavelength must be positive, got 1\.0 and 0"):
            gabor_kernel(3, sigma=1.0, theta=0.0, wavelength=0)
