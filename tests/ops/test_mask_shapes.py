import doctest
import math

import cv2
import numpy as np
import pytest
import torch
from torchvision.transforms.functional import gaussian_blur

import cvviz.ops.mask_shapes
from cvviz.ops.mask_shapes import (
    blur_matrix,
    boundary_distance,
    box_mask,
    disc_mask,
    mask_outline,
    moved_mask,
    soft_mask,
)


def blob(side=9, seed=0, share=0.4):
    return torch.rand(side, side, generator=torch.Generator().manual_seed(seed)) < share


class TestShapes:
    def test_by_hand(self):
        # Around the middle of 4 x 4 the nearest centres are 0.71 away, the next 1.58.
        assert int(disc_mask(4, 2, 2, 0.7).sum()) == 0
        assert int(disc_mask(4, 2, 2, 0.71).sum()) == 4
        assert int(disc_mask(4, 2, 2, 1.6).sum()) == 12
        assert int(box_mask(4, 2, 2, 0.5).sum()) == 4

    def test_x_is_across(self):
        assert disc_mask(4, 3.5, 0.5, 0.1).nonzero().tolist() == [[0, 3]]

    def test_a_disc_lies_in_its_box(self):
        assert (disc_mask(16, 7, 9, 4.3) <= box_mask(16, 7, 9, 4.3)).all()

    def test_area_of_a_large_disc(self):
        assert int(disc_mask(200, 100, 100, 80).sum()) == pytest.approx(math.pi * 80**2, rel=0.01)

    def test_outside_of_the_grid(self):
        assert not disc_mask(4, -10, 2, 3).any()

    @pytest.mark.parametrize("make", [disc_mask, box_mask])
    def test_exceptions(self, make):
        with pytest.raises(ValueError, match=r"radius must lie in \[0, inf\], got -1"):
            make(4, 2, 2, -1)


class TestBoundaryDistance:
    @pytest.mark.parametrize("seed", range(3))
    def test_like_opencv(self, seed):
        mask = blob(seed=seed)
        outside, inside = (
            cv2.distanceTransform(part.numpy().astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
            for part in (~mask, mask)
        )
        expected = np.where(mask.numpy(), 1 - inside, outside)
        assert np.allclose(boundary_distance(mask).numpy(), expected, atol=1e-4)

    def test_empty_and_full(self):
        assert (boundary_distance(torch.zeros(3, 3).bool()) == math.inf).all()
        assert (boundary_distance(torch.ones(3, 3).bool()) == -math.inf).all()
        assert boundary_distance(torch.zeros(0, 3).bool()).shape == (0, 3)

    def test_exceptions(self):
        for function in (boundary_distance, mask_outline):
            with pytest.raises(ValueError, match=r"mask must be \(H, W\) bool, got \(3,\) torch.bool"):
                function(torch.zeros(3).bool())
            with pytest.raises(ValueError, match=r"mask must be \(H, W\) bool, got \(2, 2\) torch.float32"):
                function(torch.zeros(2, 2))


class TestMovedMask:
    mask = blob()
    distance = boundary_distance(mask)

    def test_unmoved_is_itself(self):
        assert torch.equal(moved_mask(self.distance, 0, 0, 0), self.mask)

    def test_moves_right_and_down_and_brings_in_nothing(self):
        moved = moved_mask(self.distance, 2, 3, 0)
        assert torch.equal(moved[3:, 2:], self.mask[:-3, :-2])
        assert not moved[:3].any()
        assert not moved[:, :2].any()

    def test_moves_left_and_up(self):
        moved = moved_mask(self.distance, -2, -1, 0)
        assert torch.equal(moved[:-1, :-2], self.mask[1:, 2:])

    @pytest.mark.parametrize("step", [9, -9, 40])
    def test_out_of_sight(self, step):
        assert not moved_mask(self.distance, step, 0, 0).any()

    def test_grows_and_shrinks(self):
        sizes = [int(moved_mask(self.distance, 0, 0, grow).sum()) for grow in range(-3, 4)]
        assert sizes == sorted(sizes)
        one = torch.zeros(5, 5).bool()
        one[2, 2] = True
        assert int(moved_mask(boundary_distance(one), 0, 0, 1).sum()) == 5  # the cell and its four neighbours
        assert not moved_mask(boundary_distance(one), 0, 0, -1).any()


class TestOutline:
    def test_by_hand(self):
        # Two cells side by side: six edges, clockwise from the top left.
        loop = [(0, 0), (1, 0), (2, 0), (2, 1), (1, 1), (0, 1)]
        assert mask_outline(torch.tensor([[True, True]])) == [loop]

    def test_a_hole_is_a_loop_of_its_own(self):
        ring = torch.ones(3, 3).bool()
        ring[1, 1] = False
        assert sorted(map(len, mask_outline(ring))) == [4, 12]

    def test_empty(self):
        assert mask_outline(torch.zeros(4, 4).bool()) == []

    @pytest.mark.parametrize("seed", range(5))
    def test_area_by_the_shoelace_formula(self, seed):
        mask = blob(seed=seed)
        area = 0.0
        for loop in mask_outline(mask):
            area += sum(x1 * y2 - x2 * y1 for (x1, y1), (x2, y2) in zip(loop, [*loop[1:], loop[0]], strict=True)) / 2
        assert area == int(mask.sum())

    @pytest.mark.parametrize("seed", range(5))
    def test_length_is_the_number_of_border_edges(self, seed):
        mask = torch.nn.functional.pad(blob(seed=seed), (1, 1, 1, 1))
        edges = (mask[1:] ^ mask[:-1]).sum() + (mask[:, 1:] ^ mask[:, :-1]).sum()
        assert sum(map(len, mask_outline(mask))) == int(edges)


class TestBlur:
    @pytest.mark.parametrize("sigma", [0.3, 0.6, 1.0, 2.4, 3.0])
    def test_like_torchvision(self, sigma):
        mask = blob(16).double()
        size = 2 * math.ceil(3 * sigma) + 1
        expected = gaussian_blur(mask[None, None], [size, size], [sigma, sigma])[0, 0]
        matrix = blur_matrix(16, sigma)
        assert torch.allclose(matrix @ mask @ matrix.T, expected)

    def test_no_blur_is_the_identity(self):
        assert torch.equal(blur_matrix(5, 0), torch.eye(5).double())

    def test_rows_sum_to_one(self):
        assert torch.allclose(blur_matrix(9, 2.5).sum(1), torch.ones(9).double())

    @pytest.mark.parametrize("sigma", [-1, 3.0, math.nan])
    def test_exceptions(self, sigma):
        with pytest.raises(ValueError, match="sigma must lie between 0 and a third of the length 8, got"):
            blur_matrix(8, sigma)


class TestSoftMask:
    def test_inside_and_outside(self):
        mask = blob().double()
        p = soft_mask(mask, blur_matrix(9, 0), 0.8, 0.1)
        assert torch.allclose(p, torch.where(mask == 1, 0.8, 0.1).double())

    def test_batch_equals_loop(self):
        masks = torch.stack([blob(seed=seed) for seed in range(3)]).double()
        blur = blur_matrix(9, 1.0)
        each = torch.stack([soft_mask(mask, blur, 0.9, 0.2) for mask in masks])
        assert torch.allclose(soft_mask(masks, blur, 0.9, 0.2), each)
        assert ((each >= 0.2 - 1e-12) & (each <= 0.9 + 1e-12)).all()

    def test_exceptions(self):
        with pytest.raises(TypeError, match="mask must have a floating-point dtype"):
            soft_mask(blob(), blur_matrix(9, 0), 0.9, 0.1)
        with pytest.raises(ValueError, match=r"inside must lie in \[0, 1\], got 2"):
            soft_mask(blob().double(), blur_matrix(9, 0), 2, 0.1)
        with pytest.raises(ValueError, match=r"outside must lie in \[0, 1\], got -1"):
            soft_mask(blob().double(), blur_matrix(9, 0), 0.5, -1)


def test_doctest():
    assert doctest.testmod(cvviz.ops.mask_shapes).failed == 0
