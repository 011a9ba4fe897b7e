"""Sentences from interview notes, judged by measurements; see ``detector_stages``."""

from __future__ import annotations

import time

import torch
import torch.nn.functional as F
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model_weights
from torchvision.ops import roi_align

from cvviz.concept import Claim, Evidence
from cvviz.ops.detector_cost import DETECTORS, anatomy, stage_macs


def gmacs(name: str, *, side: int | None = None, proposals: int | None = None, classes: int = 91) -> float:
    """GMACs of a picture, by default of the size and with the proposals that the detector was made for."""
    made_for = DETECTORS[name]
    count = made_for.proposals if proposals is None else proposals
    return sum(stage_macs(name, side=side or made_for.side, proposals=count, classes=classes).values()) / 1e9


def _one_stage() -> Evidence:
    light, heavy = gmacs("ssdlite320_mobilenet_v3_large"), gmacs("retinanet_resnet50_fpn")
    text = f"SSDlite at 320 px {light:.3g} GMAC, RetinaNet at 800 px {heavy:.4g}: {heavy / light:.0f} times as much."
    return Evidence(250 < heavy / light < 270, text)


def _two_stage() -> Evidence:
    two, one = gmacs("fasterrcnn_mobilenet_v3_large_320_fpn"), gmacs("retinanet_resnet50_fpn")
    text = (
        f"Faster R-CNN with MobileNetV3 at 320 px and 150 proposals {two:.3g} GMAC, RetinaNet with ResNet-50 at 800 px "
        f"{one:.4g}: {one / two:.0f} times as much."
    )
    return Evidence(one > 50 * two, text)


def _same_backbone() -> Evidence:
    two = {count: gmacs("fasterrcnn_resnet50_fpn", proposals=count) for count in (300, 1000)}
    dense = {name: gmacs(f"{name}_resnet50_fpn") for name in ("retinanet", "fcos")}
    text = (
        "ResNet-50 with FPN at 800 px: Faster R-CNN {:.1f} GMAC with 300 proposals, {:.1f} with 1000; "
        "RetinaNet {:.1f}, FCOS {:.1f}."
    )
    order = two[300] < dense["fcos"] < two[1000] < dense["retinanet"]
    return Evidence(order, text.format(*two.values(), *dense.values()))


def _objects() -> Evidence:
    costs = {count: gmacs("fasterrcnn_resnet50_fpn", proposals=count) for count in (0, 500, 1000, 2000)}
    each = anatomy("fasterrcnn_resnet50_fpn", classes=91).per_proposal / 1e9
    straight = all(abs(cost - costs[0] - each * count) < 1e-6 for count, cost in costs.items())
    text = "GMAC with 0, 500, 1000 and 2000 proposals: {:.1f}, {:.1f}, {:.1f}, {:.1f}; each adds {:.5f}."
    return Evidence(straight, text.format(*costs.values(), each))


def _second_stage() -> Evidence:
    names = ("fasterrcnn_resnet50_fpn", "fasterrcnn_resnet50_fpn_v2", "fasterrcnn_mobilenet_v3_large_fpn")
    shares = [1 - gmacs(name, proposals=0) / gmacs(name) for name in names]
    text = (
        "At 800 px and 1000 proposals the second stage is {:.1%} with ResNet-50, {:.1%} in v2, {:.1%} with MobileNetV3."
    )
    return Evidence(shares[0] < 0.11 < 0.45 < shares[1] < shares[2], text.format(*shares))


def _time() -> Evidence:
    draw = torch.Generator().manual_seed(0)
    corner = 300 * torch.rand(100, 2, generator=draw)
    boxes = torch.cat([torch.zeros(100, 1), corner, corner + 100], dim=1)
    maps, weights = torch.rand(1, 256, 100, 100, generator=draw), torch.rand(1024, 256 * 49, generator=draw)
    regions = roi_align(maps, boxes, (7, 7), 0.25, 2)
    found = []
    for step in (lambda: roi_align(maps, boxes, (7, 7), 0.25, 2), lambda: F.linear(regions.flatten(1), weights)):
        with FlopCounterMode(display=False) as counter:
            step()
        start = time.perf_counter()
        step()
        found.append((counter.get_total_flops() / 2e9, 1000 * (time.perf_counter() - start)))
    text = "100 proposals: pooling {:.2f} GMAC in {:.0f} ms, the first layer of the box head {:.2f} GMAC in {:.0f} ms."
    return Evidence(found[0][0] == 0 and found[0][1] > 0.02 * found[1][1], text.format(*found[0], *found[1]))


def _published() -> Evidence:
    found = []
    for name in ("fasterrcnn_mobilenet_v3_large_fpn", "fasterrcnn_resnet50_fpn"):
        said = get_model_weights(name).DEFAULT.meta["_ops"]
        found.append((said, gmacs(name, proposals=0), gmacs(name, proposals=1000)))
    (light, none, _), (heavy, _, all_of_them) = found
    text = (
        "Faster R-CNN with MobileNetV3: published {:.3f}, counted {:.3f} with no proposal, {:.3f} with 1000; with "
        "ResNet-50: {:.2f}, {:.2f}, {:.2f}."
    )
    return Evidence(abs(light - none) < 1e-3 and abs(heavy - all_of_them) < 1e-2, text.format(*found[0], *found[1]))


def _anchors() -> Evidence:
    pairs = [
        (gmacs("retinanet_resnet50_fpn", classes=classes), gmacs("fcos_resnet50_fpn", classes=classes))
        for classes in (91, 2)
    ]
    text = "At 800 px with 90 classes RetinaNet {:.1f} GMAC, FCOS {:.1f}; with one class {:.1f} and {:.1f}."
    ratios = [anchors / none for anchors, none in pairs]
    return Evidence(ratios[0] > 1.15 and ratios[1] < 1.02, text.format(*pairs[0], *pairs[1]))


CLAIMS = (
    Claim(
        "One-stage detectors are fast: 30 to 100 frames per second and more.",
        "true with conditions",
        "Some are, on some hardware. Backbone and resolution decide: two one-stage detectors of one library are more "
        "than two orders of magnitude apart.",
        _one_stage,
        "As published",
    ),
    Claim(
        "Two-stage detectors are slow: 5 to 15 frames per second.",
        "misleading",
        "A number of 2015, of VGG-16 on a graphics card of that time. A light two-stage detector costs a fraction of a "
        "heavy one-stage detector.",
        _two_stage,
        "Light against heavy",
    ),
    Claim(
        "With the same backbone, the second stage makes a detector the slower one.",
        "misleading",
        "A dense head of two towers costs more than a thin RPN head and a box head together, until there are many "
        "proposals. Which comes first depends on heads, resolution and N.",
        _same_backbone,
        "300 proposals",
    ),
    Claim(
        "The more objects in the picture, the longer a two-stage detector takes.",
        "misleading",
        "The second stage is paid per proposal. Their number is a setting (torchvision: 1000), nearly always reached, "
        "whatever is in the picture.",
        _objects,
        "Same backbone",
    ),
    Claim(
        "The second stage is what makes Faster R-CNN expensive.",
        "true with conditions",
        "With ResNet-50, FPN and two fully connected layers it is a tenth. With convolutions in the box head it is "
        "nearly half, with a small backbone or a small picture more.",
        _second_stage,
        "Heavy box head",
    ),
    Claim(
        "Fewer multiply-accumulates, less time.",
        "misleading",
        "Only between layers of one kind. RoI pooling, decoding, sorting and NMS multiply next to nothing, and take "
        "time; a depthwise convolution does few and waits for memory.",
        _time,
    ),
    Claim(
        "Published GFLOPs of detectors can be compared.",
        "misleading",
        "Ask what was counted: additions or not, which input, and how many proposals. Counted with weights that find "
        "nothing in an empty picture, a second stage costs nothing.",
        _published,
        "No proposals",
    ),
    Claim(
        "Without anchors a detector is cheaper.",
        "true with conditions",
        "With many classes: nine anchors per cell mean nine times the outputs of the last layer. The towers before it "
        "are the same.",
        _anchors,
        "Without anchors",
    ),
)
