"""Sentences that interview notes repeat about anchors, each judged by a measurement."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import torch
from torch import Tensor
from torchvision.models.detection import fasterrcnn_resnet50_fpn
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.image_list import ImageList

from cvviz.concept import Claim, Evidence
from cvviz.concepts.detection.anchors import PRESETS, SCENE, Params, compute, coverage
from cvviz.figures.anchors import Assignment
from cvviz.ops.anchors import anchor_grid, encode_boxes

SEEDS = range(12)


@lru_cache(maxsize=8)
def scenes(params: Params) -> list[Assignment]:
    """The same settings on several scenes."""
    return [compute(replace(params, seed=seed)) for seed in SEEDS]


def recall(params: Params) -> float:
    """Share of digits with an anchor of IoU 0.5."""
    return float((next(iter(coverage(params).values())) >= 0.5).float().mean())


def versions() -> Evidence:
    """Anchors of SSD and YOLOv3, points of YOLOv8."""
    maps = [torch.zeros(1, 1, side, side) for side in (38, 19, 10, 5, 3, 1)]
    boxes = DefaultBoxGenerator([[2], [2, 3], [2, 3], [2, 3], [2], [2]])
    ssd = len(boxes(ImageList(torch.zeros(1, 3, 300, 300), [(300, 300)]), maps)[0])
    strides, three, one = (8, 16, 32), [[10, 20, 40]] * 3, [[8]] * 3
    yolo3 = sum(map(len, anchor_grid((416, 416), strides=strides, sizes=three, ratios=[1])))
    yolo8 = sum(map(len, anchor_grid((640, 640), strides=strides, sizes=one, ratios=[1])))
    text = f"SSD300 lays out {ssd:,} boxes, YOLOv3 at 416 {yolo3:,} (3 per cell), YOLOv8 at 640 {yolo8:,} points (1)."
    return Evidence((ssd, yolo3, yolo8) == (8732, 10647, 8400), text)


def stages() -> Evidence:
    """Where Faster R-CNN has an anchor generator."""
    with torch.device("meta"):
        model = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None).eval()
    parts = {"first": model.rpn, "second": model.roi_heads}
    have = {part: any(isinstance(m, AnchorGenerator) for m in module.modules()) for part, module in parts.items()}
    sizes = [[32 * 2**level] for level in range(5)]
    count = sum(map(len, anchor_grid((800, 800), strides=[4, 8, 16, 32, 64], sizes=sizes, ratios=[0.5, 1, 2])))
    kept = model.rpn.post_nms_top_n()
    text = (
        f"At 800 × 800 the first stage has {count:,} anchors and passes at most {kept:,} boxes on; the second has none."
    )
    return Evidence(have == {"first": True, "second": False} and count == 159882, text)


def guarantee() -> Evidence:
    """Digits without an anchor although best match is on."""
    large, apart = (compute(PRESETS[name].params) for name in ("Too large", "Touched by none"))
    lost = [sum(not found for found in result.per_digit) for result in (large, apart)]
    text = (
        f"With anchors of four strides {lost[0]} digit of {len(large.truth)} has none; with anchors that leave gaps "
        f"{lost[1]} of {len(apart.truth)} has none, while {len(apart.positive)} of {len(apart.matches)} are positive."
    )
    return Evidence(lost == [1, 1] and len(apart.positive) == len(apart.matches), text)


def middles() -> Evidence:
    """Centres of torchvision's first two anchors, and the recall with either convention."""
    boxes = AnchorGenerator(((16,),), ((1.0,),)).grid_anchors([[2, 2]], [[16, 16]])[0]
    centers: Tensor = (boxes[:2, ::2] / 2).sum(1)
    found = [recall(Params(placed=placed)) for placed in ("corner", "middle")]
    text = (
        f"Stride 16: torchvision's first two centres are at x = {centers[0]:g} and {centers[1]:g}, not 8 and 24. "
        f"Over many digits it hardly matters: recall at 0.5 is {found[0]:.1%} on corners and {found[1]:.1%} on middles."
    )
    return Evidence(centers.tolist() == [0, 16] and abs(found[0] - found[1]) < 0.03, text)


def shapes() -> Evidence:
    """Recall with a further ratio, a further size, and ratios as the digits have them."""
    settings = {"1 and 2": Params(octave=1), "and 1 : 2": Params(octave=1, ratios=("0.5", "1", "2"))}
    settings |= {"and √2 times the size instead": Params()}
    found = [(len(compute(params).matches), recall(params)) for params in settings.values()]
    text = "Ratios " + "; ".join(
        f"{title}: {share:.1%} with {count:,} anchors" for title, (count, share) in zip(settings, found, strict=True)
    )
    return Evidence(found[1][1] - found[0][1] < 0.01 and found[2][1] - found[0][1] > 0.1, text + ".")


def nothing_to_tune() -> Evidence:
    """Digits without a point at several ranges and radii."""
    settings = {"4 and 1.5": SCENE, "1 and 1.5": replace(SCENE, reach=1.0), "4 and 0.5": replace(SCENE, radius=0.5)}
    lost = [sum(view.points_per_digit.count(0) for view in scenes(params)) for params in settings.values()]
    total = sum(len(view.truth) for view in scenes(SCENE))
    rows = "; ".join(f"{title}: {count}" for title, count in zip(settings, lost, strict=True))
    return Evidence(lost[0] * 3 < min(lost[1:]), f"Of {total} digits without a point, at range and radius {rows}.")


def background() -> Evidence:
    """Negatives per positive of two sets of anchors, and of points."""
    ratios = {}
    for title, params in {"this page's": SCENE, "the digit detector's": replace(SCENE, family="detector")}.items():
        views = scenes(params)
        ratios[title] = sum(view.negative for view in views) / sum(len(view.positive) for view in views)
    matches = torch.cat([view.points.matches for view in scenes(SCENE)])
    points = int((matches < 0).sum()) / int((matches >= 0).sum())
    rows = ", ".join(f"{title} 1 : {ratio:.0f}" for title, ratio in ratios.items())
    return Evidence(min(ratios.values()) > 40 and 3 < points < 40, f"Anchors: {rows}; points 1 : {points:.0f}.")


def scale_free() -> Evidence:
    """The code of a box and of one three times as large, and the largest stretch that decodes."""
    box, anchor = torch.tensor([[10.0, 12.0, 34.0, 60.0]]), torch.tensor([[8.0, 8.0, 40.0, 40.0]])
    small, large = encode_boxes(box, anchor)[0], encode_boxes(3 * box, 3 * anchor)[0]
    text = f"Code {', '.join(f'{value:.3f}' for value in small.tolist())}; three times as large, the same to 1e-6."
    text = text.replace(" -", " −") + f" A side decodes to at most {math.exp(math.log(1000 / 16)):.1f} anchors."
    return Evidence(bool((small - large).abs().max() < 1e-6), text)


CLAIMS = (
    Claim(
        "YOLO v3 to v5 have anchors, v8 has none.",
        "true with conditions",
        "So do v2 and v7, while v1, v6 and YOLOX have none. SSD calls them default boxes.",
        versions,
    ),
    Claim(
        "Two-stage detectors use anchors.",
        "true with conditions",
        "Faster R-CNN does, in its first stage. R-CNN and Fast R-CNN took proposals from outside, Sparse R-CNN "
        "learns them.",
        stages,
    ),
    Claim(
        "Best match gives every object an anchor.",
        "wrong",
        "Not as torchvision does it: the anchor goes to the object that it overlaps most. An object that none touches "
        "makes every anchor without overlap positive.",
        guarantee,
        "Touched by none",
    ),
    Claim(
        "An anchor is centred on its cell.",
        "true with conditions",
        "By convention. torchvision centres it on the cell's top left corner. Either learns; mixing them shifts every "
        "box by half a stride.",
        middles,
    ),
    Claim(
        "More aspect ratios cover more objects.",
        "misleading",
        "Only ratios that objects have. Look at the data first: sizes are often the larger gap.",
        shapes,
        "Digit detector's",
    ),
    Claim(
        "Anchor-free detectors have no sizes to tune.",
        "wrong",
        "The range of each level is a size, and the sampling radius a threshold. What they do without is ratios.",
        nothing_to_tune,
        "Between levels",
    ),
    Claim(
        "Nearly all anchors are background.",
        "true",
        "That is why losses are sampled or focal. Points are fewer, and a larger share of them is positive.",
        background,
        "A scene",
    ),
    Claim(
        "Box targets do not depend on the size of the object.",
        "true",
        "Offsets are in anchors, and sizes are ratios. That lets one head serve all levels.",
        scale_free,
    ),
)
