"""The digit detector over scenes that it was not trained on: objects and detections of a whole test set."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from cvviz.data.detection_sets import DIGITS, DetectionSet
from cvviz.data.digit_scenes import digit_scene
from cvviz.ops.detection_metrics import Predictions, Truth
from cvviz.zoo.digit_detector import detect, load_digit_detector

SCENES, SIDE = 60, 160
LOWEST, MOST = 0.05, 30  # score, and detections of a scene: what lies below them cannot raise AP much


@lru_cache(maxsize=1)
def digit_test_set() -> DetectionSet:
    """Test scenes 0 to 59, and what the trained detector says of them, rounded to 0.01 px and to a score of 0.0001."""
    scenes = [digit_scene(seed) for seed in range(SCENES)]
    model = load_digit_detector()
    found = [detect(model, scene.pixels, score_threshold=LOWEST, most=MOST) for scene in scenes]
    boxes = torch.cat([scene.boxes for scene in scenes]).double()
    truth = Truth(
        boxes,
        torch.cat([scene.labels for scene in scenes]),
        _images([len(scene.labels) for scene in scenes]),
        torch.zeros(len(boxes), dtype=torch.bool),
        (boxes[:, 2:] - boxes[:, :2]).prod(1),
    )
    predictions = Predictions(
        torch.cat([boxes for boxes, _, _ in found]).double().round(decimals=2),
        torch.cat([labels for _, _, labels in found]),
        _images([len(labels) for _, _, labels in found]),
        torch.cat([scores for _, scores, _ in found]).double().round(decimals=4),
    )
    pictures = [scene.pixels for scene in scenes]
    count = f"{len(predictions.scores):,}"
    note = f"{SCENES} scenes with {len(boxes)} digits, and {count} detections of the detector that was trained here."
    titles = tuple(f"scene {seed}" for seed in range(SCENES))
    return DetectionSet(
        truth, predictions, DIGITS, titles, ((SIDE, SIDE),) * SCENES, lambda image: (pictures[image], 1.0), (note,)
    )


def _images(counts: list[int]) -> Tensor:
    return torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
