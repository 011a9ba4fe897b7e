import doctest

import pytest
import torch
import torchvision
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import cvviz.ops.heads as module
from cvviz.ops.heads import body_costs, dense_costs, head_costs, mismatch


def count(part: nn.Module) -> int:
    return sum(weight.numel() for weight in part.parameters())


def test_doctest():
    assert doctest.testmod(module).failed == 0


class TestDenseCosts:
    def test_equals_the_classifier_of_vgg(self):
        with torch.device("meta"):
            classifier = torchvision.models.vgg16().classifier
        assert dense_costs((25088, 4096, 4096, 1000))[0] == count(classifier) == 123_642_856

    def test_values(self):
        assert dense_costs((3, 2)) == (8, 6)  # six weights and two biases

    def test_exception(self):
        with pytest.raises(ValueError, match=r"widths must be at least two numbers of at least 1, got \[5\]"):
            dense_costs([5])
        with pytest.raises(ValueError, match=r"got \[5, 0\]"):
            dense_costs([5, 0])


class TestHeadCosts:
    @pytest.mark.parametrize("side", [1, 7, 10])
    def test_equals_modules(self, side):
        maps, pools = torch.empty(1, 16, side, side), (nn.Identity(), nn.AdaptiveAvgPool2d(7), nn.AdaptiveAvgPool2d(1))
        for pool, layers, costs in zip(pools, ([32, 10], [32, 10], [10]), head_costs(16, side, [32, 10]), strict=True):
            head = nn.Sequential(pool, nn.Flatten(), *map(nn.LazyLinear, layers))
            with FlopCounterMode(display=False) as flops:
                head(maps)
            assert costs.tolist() == [count(head), flops.get_total_flops() / 2]

    def test_laws(self):
        flat = [head_costs(8, side, [10])[0, 0] for side in (2, 4)]
        assert flat[1] - 10 == 4 * (flat[0] - 10)  # weights grow with the area, biases do not
        assert torch.equal(head_costs(8, 7, [5, 3])[0], head_costs(8, 7, [5, 3])[1])  # at the grid's size they agree
        assert torch.equal(head_costs(8, 1, [3])[0], head_costs(8, 9, [3])[2])  # one cell is its own mean

    def test_exception(self):
        with pytest.raises(ValueError, match="widths must be"):
            head_costs(8, 0, [10])


class TestBodyCosts:
    @pytest.mark.parametrize(("net", "parts"), [("vgg16", 1), ("resnet50", 8)])
    @pytest.mark.parametrize("side", [32, 96])
    def test_equals_torchs_counters(self, net, parts, side):
        with torch.device("meta"):
            body = nn.Sequential(*list(torchvision.models.get_model(net).children())[:parts]).eval()
            with FlopCounterMode(display=False) as flops:
                body(torch.empty(1, 3, side, side))
        parameters, work, channels = body_costs(body, side)
        assert parameters == count(body)
        assert work == flops.get_total_flops() / 2
        assert channels == {"vgg16": 512, "resnet50": 2048}[net]

    def test_work_grows_with_the_area(self):
        body = nn.Sequential(
            nn.Conv2d(3, 4, 3, 2, 1, groups=1), nn.BatchNorm2d(4, affine=False), nn.Conv2d(4, 4, 3, 1, 1, groups=4)
        )
        small, large = body_costs(body, 8), body_costs(body, 16)
        assert small[0] == large[0] == count(body)
        assert 4 * small[1] == large[1]

    def test_leaves_no_hook_behind(self):
        body = nn.Conv2d(3, 1, 1)
        body_costs(body, 4)
        assert not body._forward_hooks

    def test_exception(self):
        with pytest.raises(ValueError, match="got a Linear"):
            body_costs(nn.Sequential(nn.Conv2d(3, 1, 1), nn.Flatten(), nn.Linear(16, 2)), 4)


def test_mismatch_is_what_a_layer_says():
    assert mismatch(8, (8, 3)) == ""
    with pytest.raises(RuntimeError) as refusal:
        nn.Linear(8, 3)(torch.zeros(1, 9))
    assert mismatch(9, (8, 3)) == str(refusal.value)
