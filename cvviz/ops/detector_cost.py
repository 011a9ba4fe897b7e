"""What the detectors of torchvision are made of, and what each stage of them costs in multiply-accumulates.

A convolution is paid for per cell of its output map, whatever the picture, and the second stage of a two-stage detector
per proposal, whatever the size of the picture. So a detector is a short table: how much per cell of each stride, how
much per proposal. From that table the cost at any size follows without running anything.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from math import ceil
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model

from cvviz.ops.checks import check_range

STAGES = ("backbone", "neck", "head", "box")
MOST_SIDE = 1024  # pixels; the side at which a detector is looked at


@dataclass(frozen=True, slots=True)
class Detector:
    """A detector of torchvision.

    Args:
        title: how it is called in print.
        side: shorter side of the picture that it was made for, in pixels.
        proposals: regions given to its second stage by default; 0 if it has none.
    """

    title: str
    side: int
    proposals: int = 0

    @property
    def two_stage(self) -> bool:
        """Whether it looks a second time, at proposals."""
        return self.proposals > 0


DETECTORS: Mapping[str, Detector] = {
    "ssdlite320_mobilenet_v3_large": Detector("SSDlite, MobileNetV3", 320),
    "retinanet_resnet50_fpn": Detector("RetinaNet, ResNet-50", 800),
    "retinanet_resnet50_fpn_v2": Detector("RetinaNet v2, ResNet-50", 800),
    "fcos_resnet50_fpn": Detector("FCOS, ResNet-50", 800),
    "fasterrcnn_mobilenet_v3_large_320_fpn": Detector("Faster R-CNN 320, MobileNetV3", 320, 150),
    "fasterrcnn_mobilenet_v3_large_fpn": Detector("Faster R-CNN, MobileNetV3", 800, 1000),
    "fasterrcnn_resnet50_fpn": Detector("Faster R-CNN, ResNet-50", 800, 1000),
    "fasterrcnn_resnet50_fpn_v2": Detector("Faster R-CNN v2, ResNet-50", 800, 1000),
}


@dataclass(frozen=True, slots=True)
class Anatomy:
    """The cost of a detector before a picture is known.

    Args:
        cells: (stage, stride) -> MACs per cell of the maps of that stride, which have ceil(side / stride) rows and as
            many columns.
        per_proposal: MACs of the second stage for one proposal; 0 if there is none.
        parameters: stage -> number of learned values.
    """

    cells: Mapping[tuple[str, int], int]
    per_proposal: int
    parameters: Mapping[str, int]


@lru_cache(maxsize=64)
def anatomy(name: str, *, classes: int) -> Anatomy:
    """Look at a detector without weights and without a picture: on the meta device only shapes are computed.

    Args:
        name: one of ``DETECTORS``.
        classes: number of classes, the background among them, at least 2.

    Returns:
        What each of its stages costs. Kept: ask again at no cost.

    Raises:
        ValueError: if the name is unknown or there are fewer than 2 classes.

    Example:
        >>> faster = anatomy("fasterrcnn_resnet50_fpn", classes=91)
        >>> faster.per_proposal  # 7*7*256 values -> 1024 -> 1024 -> 91 classes and 91 boxes
        14359552
        >>> sum(faster.parameters.values())
        41808406

    Reference:
        Ren, He, Girshick, Sun, "Faster R-CNN", 2015, https://arxiv.org/abs/1506.01497
    """
    if name not in DETECTORS:
        raise ValueError(f"name must be one of {', '.join(DETECTORS)}, got {name}.")
    if classes < 2:
        raise ValueError(f"classes must be at least 2, got {classes}.")
    with torch.device("meta"):
        model = get_model(name, weights=None, weights_backbone=None, num_classes=classes).eval()
        picture, pooled = torch.zeros(1, 3, MOST_SIDE, MOST_SIDE), torch.zeros(1, 256, 7, 7)
    cells, per_proposal, parameters = Counter[tuple[str, int]](), Counter[str](), Counter[str]()

    def pay(stage: str, layer: nn.Module, _inputs: Any, output: Tensor) -> None:
        weights = layer.weight.numel()  # type: ignore[operator]  # each is used once per cell
        if stage == "box":
            per_proposal[stage] += weights * output.shape[2:].numel()
        else:
            cells[stage, MOST_SIDE // output.shape[-1]] += weights

    for path, layer in model.named_modules():
        stage = stage_of(path)
        parameters[stage] += sum(value.numel() for value in layer.parameters(recurse=False))
        if isinstance(layer, (nn.Conv2d, nn.Linear)):
            layer.register_forward_hook(partial(pay, stage))
    with torch.no_grad():
        maps = list(model.backbone(picture).values())
        if DETECTORS[name].two_stage:
            model.rpn.head(maps)
            model.roi_heads.box_predictor(model.roi_heads.box_head(pooled))
        else:
            model.head(maps)
    return Anatomy(dict(cells), per_proposal["box"], {stage: parameters[stage] for stage in STAGES})


def stage_of(path: str) -> str:
    """Stage that a module of a torchvision detector belongs to, by its name in the model.

    Args:
        path: dotted name, as ``named_modules`` gives it.

    Returns:
        One of ``STAGES``. The extra layers of an SSD count as its neck, a region proposal network as a head.

    Example:
        >>> stage_of("backbone.fpn.inner_blocks.0.0"), stage_of("rpn.head.cls_logits")
        ('neck', 'head')
    """
    starts = {"backbone.fpn": "neck", "backbone.extra": "neck", "backbone": "backbone", "roi_heads": "box"}
    return next((stage for start, stage in starts.items() if path.startswith(start)), "head")


def stage_macs(name: str, *, side: int, proposals: int = 0, classes: int = 91) -> dict[str, int]:
    """Multiply-accumulates of each stage of a detector for one square picture.

    Counted are convolutions and fully connected layers. Normalisation, activations, anchors, decoding, RoI pooling and
    non-maximum suppression are not: they take time, but next to no multiplications.

    Args:
        name: one of ``DETECTORS``.
        side: of the picture as the backbone sees it, in pixels, from 1 to ``MOST_SIDE``.
        proposals: regions that the second stage looks at, at least 0. A one-stage detector has no use for them.
        classes: number of classes, the background among them, at least 2.

    Returns:
        ``STAGES`` -> MACs.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> sum(stage_macs("retinanet_resnet50_fpn", side=800).values()) / 1e9
        151.540437248

    Reference:
        Lin, Goyal, Girshick, He, Dollár, "Focal Loss for Dense Object Detection", 2017,
        https://arxiv.org/abs/1708.02002
    """
    check_range(side, "side", 1, MOST_SIDE)
    if proposals < 0:
        raise ValueError(f"proposals must be at least 0, got {proposals}.")
    found = anatomy(name, classes=classes)
    macs = dict.fromkeys(STAGES, 0)
    for (stage, stride), per_cell in found.cells.items():
        macs[stage] += per_cell * ceil(side / stride) ** 2
    macs["box"] = found.per_proposal * proposals
    return macs
