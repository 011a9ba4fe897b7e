"""COCO's evaluation of a user's own files by faster-coco-eval, class by class so that its progress can be told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cvviz.data.coco_files import CocoResults, CocoTruth, predictions_for
from cvviz.ops.detection_metrics import IOU_THRESHOLDS, Predictions, rank_class

SUMMARY = ("AP", "AP50", "AP75", "AP small", "AP medium", "AP large")
RECALLS = ("AR 1", "AR 10", "AR 100", "AR small", "AR medium", "AR large")


@dataclass(frozen=True, eq=False)
class CocoReport:
    """What COCO's evaluation says of a whole set.

    Args:
        names: K classes.
        objects: (K,) how many count in each, crowds apart.
        detections: (K,) how many were given.
        precision: (K, I, R, A) at the IoU thresholds, the 101 recall levels and the sizes all, small, medium,
            large; NaN where a class has no object.
        recall: (K, I, A, 3) reached with at most 1, 10 and 100 detections of an image; NaN likewise.
        difference: largest absolute difference of any class's AP at any threshold from ``cvviz.ops.detection_metrics``.
    """

    names: tuple[str, ...]
    objects: Tensor
    detections: Tensor
    precision: Tensor
    recall: Tensor
    difference: float

    def summary(self) -> dict[str, float]:
        """The twelve numbers that COCO prints; NaN where there is nothing to average."""
        ap = self.precision.mean(2)  # [K, I, A]
        ar = self.recall
        means = [ap[..., 0], ap[:, 0, 0], ap[:, 5, 0], *ap[..., 1:].unbind(-1)]
        means += [*ar[:, :, 0].unbind(-1), *ar[:, :, 1:, 2].unbind(-1)]
        return dict(zip(SUMMARY + RECALLS, (mean.nanmean().item() for mean in means), strict=True))

    def parts(self) -> tuple[dict[str, float], dict[str, float]]:
        """The six precisions and the six recalls of the summary."""
        found = self.summary()
        return {name: found[name] for name in SUMMARY}, {name: found[name] for name in RECALLS}


def evaluate_files(
    truth: CocoTruth, results: CocoResults, progress: Callable[[float, str], object] | None = None
) -> CocoReport:
    """Evaluate results against a ground truth, every class with faster-coco-eval and with cvviz.

    Args:
        truth, results: as read.
        progress: is told the share that is done, and the class at hand. It may raise to stop the work.

    Raises:
        ValueError: naming the first result of an image or a category that the truth does not have.

    Reference:
        Lin et al., Microsoft COCO: Common Objects in Context, 2014, https://arxiv.org/abs/1405.0312, and
        https://github.com/MiXaiLL76/faster_coco_eval
    """
    predictions = predictions_for(truth, results)
    count = len(truth.names)
    rows = [len(truth.bboxes), len(results.scores)]
    precision, recall, differences, done = [], [], [0.0], 0
    for label, name in enumerate(truth.names):
        if progress:
            progress(done / sum(rows), f"{name}: class {label + 1} of {count}")
        objects = (truth.truth.labels == label).nonzero().flatten()
        found = (predictions.labels == label).nonzero().flatten()
        done += len(objects) + len(found)
        levels, reached = _evaluate(truth, results, predictions, label, objects, found)
        ours = rank_class(truth.truth, predictions, label, iou_thresholds=IOU_THRESHOLDS).average_precision()[0]
        differences.append((ours - levels[..., 0].mean(1)).abs().nan_to_num().max().item())
        precision.append(levels)
        recall.append(reached)
    return CocoReport(
        names=truth.names,
        objects=truth.truth.labels[~truth.truth.crowd].bincount(minlength=count),
        detections=predictions.labels.bincount(minlength=count),
        precision=torch.stack(precision),
        recall=torch.stack(recall),
        difference=max(differences),
    )


def _evaluate(
    truth: CocoTruth, results: CocoResults, predictions: Predictions, label: int, objects: Tensor, found: Tensor
) -> tuple[Tensor, Tensor]:
    """Precision (I, R, A) with 100 detections, and recall (I, A, 3), of one class; NaN where it has no object.

    Images without the class have no part in either, and are left out.
    """
    from faster_coco_eval import COCO, COCOeval_faster  # type: ignore[import-untyped]  # 0.2 s that only a reader with files pays

    rows = zip(
        truth.truth.images[objects].tolist(),
        truth.bboxes[objects].tolist(),
        truth.truth.areas[objects].tolist(),
        truth.truth.crowd[objects].tolist(),
        strict=True,
    )
    annotations = [
        # 0 would mean unmatched
        {"id": place, "image_id": image, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)}
        for place, (image, box, area, crowd) in enumerate(rows, start=1)
    ]
    detected = zip(
        predictions.images[found].tolist(), results.bboxes[found].tolist(), results.scores[found].tolist(), strict=True
    )
    detections = [
        {"image_id": image, "category_id": label, "bbox": box, "score": score} for image, box, score in detected
    ]
    images = sorted({row["image_id"] for row in (*annotations, *detections)})
    content: dict[str, Any] = {
        "images": [{"id": image} for image in images],
        "categories": [{"id": label, "name": truth.names[label]}],
        "annotations": annotations,
    }
    coco = COCO(content)
    run = COCOeval_faster(coco, coco.loadRes(detections), iouType="bbox")
    run.evaluate()
    run.accumulate()
    precision, recall = (np.array(run.eval[key], dtype=np.float64) for key in ("precision", "recall"))
    levels = torch.from_numpy(precision.reshape(len(IOU_THRESHOLDS), 101, 1, 4, 3)[:, :, 0, :, 2])
    reached = torch.from_numpy(recall.reshape(len(IOU_THRESHOLDS), 1, 4, 3)[:, 0])
    return tuple(torch.where(values < 0, torch.nan, values) for values in (levels, reached))  # type: ignore[return-value]
