"""Sentences that interview notes repeat about AP and mAP, each judged by a measurement."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]
from sklearn.metrics import average_precision_score

from cvviz.concept import Claim, Evidence
from cvviz.concepts.detection.average_precision import LOOSE, PAGE, PAIRED, TWICE, compute
from cvviz.ops.detection_metrics import (
    IOU_THRESHOLDS,
    Predictions,
    Truth,
    average_precision,
    average_precisions,
    precision_recall,
    rank_class,
)


def at_the_threshold() -> Evidence:
    """faster-coco-eval's AP50 of one object, found with an IoU of exactly a half and of a little less."""
    aps = []
    for width in (50.0, 49.9):
        coco = COCO(
            {
                "images": [{"id": 1}],
                "categories": [{"id": 1}],
                "annotations": [
                    {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0, 0, 100, 100], "area": 10000, "iscrowd": 0}
                ],
            }
        )
        found = coco.loadRes([{"image_id": 1, "category_id": 1, "bbox": [0, 0, width, 100], "score": 0.9}])
        run = COCOeval_faster(coco, found, iouType="bbox")
        run.evaluate()
        run.accumulate()
        aps.append(float(np.mean(np.array(run.eval["precision"])[0, :, 0, 0, -1])))
    text = f"One object, half covered, IoU 0.5: AP50 {aps[0]:.1f}. A box 0.1 px narrower, IoU 0.499: AP50 {aps[1]:.1f}."
    return Evidence(aps == [1.0, 0.0], text)


def ten_thresholds() -> Evidence:
    """AP by threshold of the loosely placed boxes."""
    study = compute(LOOSE).study
    table = study.table[:, 0].nanmean(0)
    text = (
        f"Boxes a quarter of their width aside: AP {table[0]:.3f} at 0.50, {table[2]:.3f} at 0.60, {table[5]:.3f} at "
        f"0.75; the mean of the {len(IOU_THRESHOLDS)} is {table.mean():.3f}."
    )
    return Evidence(len(IOU_THRESHOLDS) == 10 and bool((table.mean() - study.means[0]).abs() < 1e-12), text)


def production_ready() -> Evidence:
    """AP and precision with ninety junk boxes per image below every hit, and AP75 of loose boxes."""
    images, junk = 20, 90
    objects = torch.tensor([[10.0, 10.0, 50.0, 50.0]]).repeat(images, 1)
    far = torch.tensor([[100.0, 100.0, 140.0, 140.0]]).repeat(images * junk, 1)
    places = torch.arange(images)
    labels = torch.zeros(images, dtype=torch.long)
    truth = Truth(objects, labels, places, labels.bool(), torch.full((images,), 1600.0))
    predictions = Predictions(
        torch.cat([objects, far]),
        torch.zeros(len(far) + images, dtype=torch.long),
        torch.cat([places, places.repeat(junk)]),
        torch.cat([torch.full((images,), 0.9), torch.full((len(far),), 0.4)]),
    )
    ranking = rank_class(truth, predictions, 0, iou_thresholds=[0.5])
    ap, precision = ranking.average_precision().item(), ranking.curve.precision[0, 0, -1].item()
    loose = compute(LOOSE).study.summary
    text = (
        f"Perfect boxes and {junk} junk boxes an image at a lower score: AP50 {ap:.3f}, and precision {precision:.3f} "
        f"at a threshold that lets both pass. Loose boxes: AP50 {loose['AP50']:.3f}, AP75 {loose['AP75']:.3f}."
    )
    return Evidence(ap > 0.999 and precision < 0.02 and loose["AP75"] == 0, text)


def threshold_first() -> Evidence:
    """AP of the page's list, cut after each detection."""
    walk = compute(PAGE).study.walk
    cut = [walk.ap(step=step) for step in range(len(walk.order) + 1)]
    text = (
        f"Cut at the scores 0.96, 0.80 and 0.66, the page's list has AP {cut[1]:.3f}, {cut[4]:.3f} and {cut[6]:.3f}; "
    )
    return Evidence(all(a <= b for a, b in pairwise(cut)), text + f"uncut {cut[-1]:.3f}. No cut raises it.")


def area_under() -> Evidence:
    """One list by the three methods, and by scikit-learn, which has no envelope."""
    eights = compute(replace(PAGE, digit="8")).study.checked[:3].tolist()
    hits = torch.tensor([0, 1, 1])
    curve = precision_recall(hits, 2)
    area = average_precision(*curve, method="all-point").item()
    plain = float(average_precision_score(hits.numpy(), [0.9, 0.8, 0.7]))
    text = (
        f"One of two objects found: AP {eights[0]:.3f} by 11 points, {eights[1]:.3f} by area, {eights[2]:.3f} by 101. "
        f"Miss, hit, hit: {area:.3f} under the envelope, {plain:.3f} by scikit-learn, which takes none."
    )
    return Evidence(len({round(value, 3) for value in (*eights, plain)}) == 4 and abs(area - plain) > 0.05, text)


def tools_agree() -> Evidence:
    """The pair of threes under both rules."""
    study = compute(PAIRED).study
    assert study.other
    coco, voc = study.walk.ap("all-point"), study.other.ap("all-point")
    text = f"The same boxes and the same area under the curve: AP {coco:.3f} by COCO's matching, {voc:.3f} by VOC's."
    return Evidence(coco - voc > 0.05, text)


def duplicates() -> Evidence:
    """Ten boxes on five threes, and the five that come first."""
    walk = compute(TWICE).study.walk
    firsts = [place for place, outcome in zip(walk.order, walk.outcomes, strict=True) if outcome == 1]
    boxes, scores = tuple(TWICE.boxes[place] for place in firsts), tuple(TWICE.scores[place] for place in firsts)
    alone = compute(replace(TWICE, boxes=boxes + boxes[:1] * 5, scores=scores + (0,) * 5)).study.walk
    once = alone.ap(step=len(firsts))
    text = f"Ten boxes on five threes: AP {walk.ap():.3f}. Without the five that come later, AP {once:.3f}."
    return Evidence(once > walk.ap() + 0.1, text)


def sizes() -> Evidence:
    """AP of large objects by ignoring, and by deleting the other objects."""
    chosen = compute(PAGE).chosen
    truth, predictions = chosen.truth, chosen.predictions
    ignoring = average_precisions(truth, predictions, [3])[0, 3, 0].item()
    large = truth.areas >= 96**2
    columns = (truth.boxes, truth.labels, truth.images, truth.crowd, truth.areas)
    deleting = average_precisions(Truth(*(column[large] for column in columns)), predictions, [3])[0, 0, 0].item()
    text = f"The page's large three: AP50 {ignoring:.3f} with the others ignored, {deleting:.3f} with them deleted."
    return Evidence(ignoring > deleting, text)


CLAIMS = (
    Claim(
        "mAP@0.5: a detection is a TP if its IoU is 0.5.",
        "true",
        "At least 0.5 in COCO, with an object of its class that no better-scored detection has taken; then the mean "
        "over classes.",
        at_the_threshold,
    ),
    Claim(
        "mAP@0.5:0.95 is the mean over IoU thresholds 0.5, 0.55, ..., 0.95.",
        "true",
        "Of ten APs for each class, each over 101 recall levels and at most 100 detections of an image. It rewards "
        "tight boxes: AP50 and AP can be far apart.",
        ten_thresholds,
        "Perfect at 0.5",
    ),
    Claim(
        "AP50 above 0.7 means ready for production.",
        "wrong",
        "AP has no score threshold, averages classes and, at 0.5, hardly sees localisation. What is shipped has one: "
        "ask for precision and recall there, by class, on your own data.",
        production_ready,
        "Perfect at 0.5",
    ),
    Claim(
        "A higher score threshold removes false positives and so raises AP.",
        "wrong",
        "It cuts the list. What is left keeps its ranks, and every hit below the cut is lost; false positives below "
        "the last hit cost nothing. AP stays or falls, while precision at the operating point may rise.",
        threshold_first,
        "Stop at 0.80",
    ),
    Claim(
        "AP is the area under the precision-recall curve.",
        "true with conditions",
        "Under its envelope, and only in VOC from 2010 on. VOC's earlier 11 points and COCO's 101 are samples of it, "
        "and scikit-learn's average_precision_score takes no envelope.",
        area_under,
        "One of two eights",
    ),
    Claim(
        "mAP can be compared between papers, whatever the tool.",
        "wrong",
        "Only with the same matching rule, recall levels, IoU thresholds, cap on detections and handling of crowds and "
        "difficult objects.",
        tools_agree,
        "One pair, two rules",
    ),
    Claim(
        "A second box on an object that is already found does no harm.",
        "wrong",
        "It is a false positive. It costs whenever a hit comes below it, and that is why NMS comes before AP.",
        duplicates,
        "Without NMS",
    ),
    Claim(
        "AP small is AP on the small objects alone.",
        "misleading",
        "Objects of other sizes are ignored, not deleted: what matches them is left out of account. Deleted, they "
        "would turn good detections into false positives.",
        sizes,
        "Only the large",
    ),
)
