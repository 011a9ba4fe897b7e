"""Average precision of detections: matching, precision and recall, AP by three conventions, COCO's means, error kinds.

The numbers are those of pycocotools, crowds, sizes and ties included; see ``tests/ops/test_detection_metrics.py``.
"""

from cvviz.ops.detection_metrics.classes import (
    AREA_RANGES,
    IOU_THRESHOLDS,
    Predictions,
    Ranking,
    Truth,
    average_precisions,
    rank_class,
)
from cvviz.ops.detection_metrics.errors import Kind, Verdict, confusion_matrix, explain
from cvviz.ops.detection_metrics.matching import Rule, detection_overlaps, match_detections
from cvviz.ops.detection_metrics.precision import (
    METHODS,
    Curve,
    Method,
    average_precision,
    precision_envelope,
    precision_recall,
    recall_weights,
)

__all__ = [
    "AREA_RANGES",
    "IOU_THRESHOLDS",
    "METHODS",
    "Curve",
    "Kind",
    "Method",
    "Predictions",
    "Ranking",
    "Rule",
    "Truth",
    "Verdict",
    "average_precision",
    "average_precisions",
    "confusion_matrix",
    "detection_overlaps",
    "explain",
    "match_detections",
    "precision_envelope",
    "precision_recall",
    "rank_class",
    "recall_weights",
]
