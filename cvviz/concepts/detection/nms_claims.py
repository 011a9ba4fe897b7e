"""Sentences that interview notes repeat about non-maximum suppression, each judged by a measurement."""

from __future__ import annotations

from dataclasses import replace

import torch
import torchvision
from torchvision.models.detection.roi_heads import RoIHeads

from cvviz.concept import Claim, Evidence
from cvviz.concepts.detection.nms import ASTRONAUT, CROWD, compute
from cvviz.data.detectors import detect
from cvviz.ops.boxes import box_iou
from cvviz.ops.nms import nms, soft_nms, trace_nms


def threshold_direction() -> Evidence:
    """Survivors among the windows of one face at three thresholds."""
    raw = detect(ASTRONAUT, ("face",))
    low, middle, high = (len(nms(raw.boxes, raw.scores, threshold)) for threshold in (0.1, 0.5, 0.9))
    text = f"Of {len(raw.scores)} windows on the astronaut, {low} are left at 0.1, {middle} at 0.5 and {high} at 0.9."
    return Evidence(low < middle < high, text)


def raw_output() -> Evidence:
    """What torchvision's second stage makes of raw windows with a score threshold of zero."""
    raw = detect(ASTRONAUT, ("person",))
    boxes, scores = raw.boxes.float(), raw.scores.float()
    count, left = len(scores), []
    logits = torch.stack([torch.zeros(count), scores.logit()], dim=1)  # [N, 2]: background, person
    for nms_thresh in (0.5, 1.0):
        heads = RoIHeads(None, None, None, 0.5, 0.5, 1, 0.5, None, 0.0, nms_thresh, 100)
        (kept,), _, _ = heads.postprocess_detections(logits, torch.zeros(count, 8), [boxes], [(512, 512)])
        left.append(len(kept))
    text = (
        f"Given {count} windows, torchvision's detection head with score_thresh=0 returns {left[0]} at nms_thresh=0.5 "
        f"and {left[1]} at nms_thresh=1, where detections_per_img=100 cuts it off."
    )
    return Evidence(left[0] < left[1] == 100 < count, text)


def one_box_each() -> Evidence:
    """Two survivors on one face."""
    raw = detect(ASTRONAUT, ("face",))
    kept = nms(raw.boxes[raw.scores >= 0.5], raw.scores[raw.scores >= 0.5], 0.5)
    overlap = box_iou(raw.boxes[kept], raw.boxes[kept])[0, 1].item()
    text = f"On the astronaut's one face {len(kept)} boxes survive at 0.5, one inside the other: IoU {overlap:.2f}."
    return Evidence(len(kept) == 2 and overlap <= 0.5, text)


def soft_keeps_more() -> Evidence:
    """Boxes that each method returns."""
    raw = detect(ASTRONAUT, ("face",))
    hard = len(nms(raw.boxes, raw.scores, 0.3))
    lowered = len(soft_nms(raw.boxes, raw.scores, sigma=0.5, score_threshold=0.001)[0])
    text = f"Of {len(raw.scores)} windows hard NMS at 0.3 returns {hard}, and Gaussian Soft-NMS {lowered} above 0.001."
    return Evidence(lowered > hard, text)


def offset_trick() -> Evidence:
    """Two distant boxes of two classes, before and after both are moved left."""
    boxes = torch.tensor([[11.0, 11.0, 21.0, 21.0], [0.0, 0.0, 10.0, 10.0]])
    scores, classes = torch.tensor([0.9, 0.8]), torch.tensor([0, 1])
    here, moved = (len(torchvision.ops.batched_nms(boxes - shift, scores, classes, 0.5)) for shift in (0, 11))
    text = f"torchvision's batched_nms keeps {here} of 2 boxes; moved left, so that one lies below zero, {moved}."
    return Evidence((here, moved) == (2, 1), text)


def two_thresholds() -> Evidence:
    """Objects found in the drawn crowd, always matched at IoU 0.5."""
    low, high = (compute(replace(CROWD, iou=iou)).outcome for iou in (0.3, 0.7))
    assert low and high
    text = (
        f"Always matched at IoU 0.5, NMS at 0.3 leaves {len(low.found)} objects of the drawn crowd found and "
        f"{len(low.extra)} box too many; NMS at 0.7 leaves {len(high.found)} found and {len(high.extra)} too many."
    )
    return Evidence(len(low.found) < len(high.found) and len(low.extra) < len(high.extra), text)


def comparisons() -> Evidence:
    """Pairs that the greedy loop looks at."""
    raw = detect(ASTRONAUT, ("face",))
    count, looks = len(raw.scores), []
    for threshold in (0.3, 1.0):
        trace = trace_nms(raw.boxes, raw.scores, iou_threshold=threshold)
        looks.append(int((trace.history[:-1] >= 0).sum()) - len(trace.kept))
    pairs = count * (count - 1) // 2
    text = f"{count} windows make {pairs} pairs; the loop looks at {looks[0]} of them at 0.3 and at {looks[1]} at 1."
    return Evidence(looks[0] < looks[1] == pairs, text)


CLAIMS = (
    Claim(
        "Raising the IoU threshold of NMS removes more boxes.",
        "wrong",
        "It removes fewer: a box goes if its overlap exceeds the threshold, so a higher one tolerates more overlap.",
        threshold_direction,
        "Threshold too high",
    ),
    Claim(
        "A detector's raw output can be had by setting its score threshold to zero.",
        "true with conditions",
        "Only where nothing else filters. Suppression and a cap on the count have settings of their own, and some "
        "libraries pass one number to two of them.",
        raw_output,
        "False alarms",
    ),
    Claim(
        "After NMS every object has exactly one box.",
        "wrong",
        "A box nested in another can survive, and an object close to a better one can be left with none.",
        one_box_each,
        "Nested windows",
    ),
    Claim(
        "Soft-NMS returns fewer boxes than hard NMS.",
        "wrong",
        "It lowers scores and by itself removes next to nothing; only a score threshold shortens its list.",
        soft_keeps_more,
        "Crowd, soft",
    ),
    Claim(
        "Moving the boxes of each class by an offset of its own makes NMS class-aware.",
        "true with conditions",
        "Only if the offset exceeds the whole extent of the boxes. The largest coordinate plus one is enough where "
        "none is negative.",
        offset_trick,
    ),
    Claim(
        "The IoU threshold of NMS is the 0.5 of mAP@0.5.",
        "wrong",
        "One says which detections compete, the other which detection matches an object. They are chosen apart.",
        two_thresholds,
        "Crowd, hard",
    ),
    Claim(
        "NMS compares every pair of boxes.",
        "true with conditions",
        "Only where nothing is suppressed. The loop compares each survivor with what is left: at most N(N − 1)/2 "
        "pairs, and far fewer where boxes pile up. A GPU does compute them all, because it can do so at once.",
        comparisons,
        "One face",
    ),
)
