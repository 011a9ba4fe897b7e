"""Training of the digit detector, and its average precision by pycocotools."""

from __future__ import annotations

import contextlib
import io
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import generalized_box_iou_loss

from cvviz.data.digit_scenes import DigitScene, Split, digit_scene
from cvviz.ops.anchors import IGNORED, decode_boxes, match_anchors
from cvviz.ops.boxes import box_iou
from cvviz.ops.losses import sigmoid_focal_loss
from cvviz.zoo.digit_detector import NUM_CLASSES, DigitDetector, detect
from cvviz.zoo.progress import Progress, Report
from cvviz.zoo.weights import load_weights, save_weights

STEPS = 4000
BATCH = 8
HELD_OUT = 200  # scenes
_LEARNING_RATE = 2e-3
_WEIGHT_DECAY = 0.02
_HIGH, _LOW = 0.5, 0.4  # IoU from which an anchor is to find a digit, and below which it is to find none
_SIZE = 160  # px


def mixed_scene(seed: int, split: Split) -> DigitScene:
    """A scene whose density and noise are drawn as well."""
    generator = random.Random(seed)
    return digit_scene(seed, split=split, density=generator.random(), noise=generator.random(), size=_SIZE)


def train_digit_detector(steps: int | None, seed: int, out: Path, report: Report) -> None:
    """Train from scratch, save the weights, and report their average precision on held-out scenes.

    Args:
        steps: of the optimiser, with ``BATCH`` new scenes each; ``STEPS`` if None.
        seed: of the first weights and of the scenes.
        out: where the weights go.
        report: takes a line of text.
    """
    model = fit(steps or STEPS, seed, report)
    save_weights(model, out)
    load_weights(model, out)  # what is measured is what was saved, rounding included
    report(f"saved {out}: {sum(value.numel() for value in model.parameters()):,} parameters")
    try:
        all_ious, half = average_precision(model, [mixed_scene(index, "test") for index in range(HELD_OUT)])
    except ModuleNotFoundError:
        report("pycocotools is not installed: the average precision was not measured")
    else:
        report(f"{HELD_OUT} held-out scenes: mAP@0.5 {half:.3f}, mAP@0.5:0.95 {all_ious:.3f}")


def fit(steps: int, seed: int, report: Report) -> DigitDetector:
    """The trained model, in training mode."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = DigitDetector()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, total_steps=steps, pct_start=0.15)
    anchors = model.anchors(_SIZE, _SIZE)
    progress = Progress(steps, report)
    first = seed * 2**32  # no scene is seen by two seeds
    for step in range(steps):
        scenes = [mixed_scene(first + step * BATCH + place, "train") for place in range(BATCH)]
        logits, deltas = model(torch.stack([scene.pixels for scene in scenes]).float() / 255)
        loss = detection_loss(logits, deltas, anchors, scenes)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        schedule.step()
        progress.step(step + 1, loss.item())
    return model


def detection_loss(logits: Tensor, deltas: Tensor, anchors: Tensor, scenes: Sequence[DigitScene]) -> Tensor:
    """Focal loss of all anchors that are not ignored plus GIoU loss of the matched ones, per matched anchor.

    Args:
        logits: (N, A, 10).
        deltas: (N, A, 4).
        anchors: (A, 4), x1, y1, x2, y2 in px.
        scenes: N scenes, the truth.

    Returns:
        A scalar.
    """
    target = torch.zeros_like(logits)  # [N, A, 10]
    counted = torch.ones(logits.shape[:2])  # [N, A]
    predicted, wanted = [], []
    for place, scene in enumerate(scenes):
        matches = match_anchors(box_iou(scene.boxes, anchors), high=_HIGH, low=_LOW)  # [A]
        hit = (matches >= 0).nonzero().flatten()  # [P]
        truth = matches[hit]
        target[place, hit, scene.labels[truth]] = 1
        counted[place, matches == IGNORED] = 0
        predicted.append(decode_boxes(deltas[place, hit], anchors[hit]))
        wanted.append(scene.boxes[truth])
    boxes = torch.cat(predicted)
    focal = sigmoid_focal_loss(logits, target, reduction="none").sum(-1)  # [N, A]
    regression = generalized_box_iou_loss(boxes, torch.cat(wanted), reduction="sum")
    total: Tensor = (focal * counted).sum() + regression
    return total / max(1, len(boxes))


def average_precision(model: DigitDetector, scenes: Sequence[DigitScene]) -> tuple[float, float]:
    """Mean average precision by pycocotools: (over IoU 0.5 to 0.95, at IoU 0.5).

    Raises:
        ModuleNotFoundError: if pycocotools is not installed.
    """
    from pycocotools.coco import COCO  # type: ignore[import-untyped]
    from pycocotools.cocoeval import COCOeval  # type: ignore[import-untyped]

    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for image, scene in enumerate(scenes):
        for box, label in zip(scene.boxes, scene.labels.tolist(), strict=True):
            row = {"id": len(truth) + 1, "image_id": image, "category_id": label, "bbox": _xywh(box), "iscrowd": 0}
            truth.append(row | {"area": row["bbox"][2] * row["bbox"][3]})
        for box, score, label in zip(*detect(model, scene.pixels, score_threshold=0.01), strict=True):
            found.append({"image_id": image, "category_id": int(label), "bbox": _xywh(box), "score": float(score)})
    if not found:
        return 0.0, 0.0
    with contextlib.redirect_stdout(io.StringIO()):  # it prints a table
        coco = COCO()
        coco.dataset = {
            "images": [{"id": image} for image in range(len(scenes))],
            "categories": [{"id": label} for label in range(NUM_CLASSES)],
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0]), float(evaluation.stats[1])


def _xywh(box: Tensor) -> list[float]:
    x1, y1, x2, y2 = box.tolist()
    return [x1, y1, x2 - x1, y2 - y1]
