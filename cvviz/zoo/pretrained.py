"""Detectors that others trained on COCO, for whoever has a network: downloaded when asked for, kept on disk, run here.

The files are torchvision's own, in the folder where torchvision looks for them, so that neither downloads twice.
"""

from __future__ import annotations

import hashlib
import http.client
import re
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models.detection import (
    FasterRCNN_MobileNet_V3_Large_320_FPN_Weights,
    SSDLite320_MobileNet_V3_Large_Weights,
    fasterrcnn_mobilenet_v3_large_320_fpn,
    ssdlite320_mobilenet_v3_large,
)

from cvviz.data.detections import Detections, detections
from cvviz.data.detectors import reduced
from cvviz.data.images import Picture, per_picture

Report = Callable[[float, str], None]
SECONDS = 15.0  # without an answer, after which a download has failed
CHUNK = 2**16  # bytes
MOST_BOXES = 300
LOW = 0.05  # score from which a raw box is worth showing


@dataclass(frozen=True, slots=True)
class Pretrained:
    """A detector with weights to be downloaded.

    Args:
        title: what it is called.
        weights: torchvision's description of the file.
        build: makes the network; takes torchvision's options.
        options: that switch its suppression off.
    """

    title: str
    weights: Any
    build: Callable[..., nn.Module]
    options: dict[str, Any]

    @property
    def megabytes(self) -> float:
        """Size of the file, in MB of 2^20 bytes."""
        return float(self.weights.meta["_file_size"])

    @property
    def path(self) -> Path:
        """Where the file lies once it has been downloaded."""
        return Path(torch.hub.get_dir()) / "checkpoints" / str(self.weights.url).rpartition("/")[2]

    @property
    def here(self) -> bool:
        """Whether the file has been downloaded."""
        return self.path.is_file()


# No IoU exceeds 1, so that nothing is suppressed. The proposals of Faster R-CNN's first stage still are, at 0.7.
PRETRAINED = {
    "ssdlite": Pretrained(
        "SSDlite320, MobileNetV3",
        SSDLite320_MobileNet_V3_Large_Weights.COCO_V1,
        ssdlite320_mobilenet_v3_large,
        {"nms_thresh": 1.0, "score_thresh": LOW, "detections_per_img": MOST_BOXES},
    ),
    "faster-rcnn": Pretrained(
        "Faster R-CNN 320, MobileNetV3",
        FasterRCNN_MobileNet_V3_Large_320_FPN_Weights.COCO_V1,
        fasterrcnn_mobilenet_v3_large_320_fpn,
        {"box_nms_thresh": 1.0, "box_score_thresh": LOW, "box_detections_per_img": MOST_BOXES},
    ),
}


def download(name: str, report: Report, *, url: str = "") -> None:
    """Fetch the weights of a detector, unless they are here.

    The file is written beside its place and moved there when it is whole and its checksum is right.

    Args:
        name: key of ``PRETRAINED``.
        report: told the share that is here, 0 to 1, and a few words; may raise to stop.
        url: where from, if not torchvision's own address.

    Raises:
        ValueError: with one sentence for the reader, if the file cannot be had.
    """
    model = PRETRAINED[name]
    if model.here:
        return
    model.path.parent.mkdir(parents=True, exist_ok=True)
    part = model.path.with_suffix(".part")
    try:
        digest = _fetch(url or model.weights.url, part, model, report)
        wanted = re.search(r"-([0-9a-f]{8,})\.", model.path.name)
        if wanted and not digest.startswith(wanted[1]):
            raise ValueError(f"The file of {model.title} arrived damaged: try again.")
        part.replace(model.path)
    except (OSError, http.client.HTTPException) as problem:  # URLError and timeouts are OSErrors
        reason = getattr(problem, "reason", None) or problem
        raise ValueError(
            f"{model.title} could not be downloaded ({reason}): check the connection and try again, or go on with "
            "another source."
        ) from None
    finally:
        part.unlink(missing_ok=True)


def _fetch(url: str, part: Path, model: Pretrained, report: Report) -> str:
    """Write the file at ``url`` and return its SHA-256."""
    digest, got = hashlib.sha256(), 0
    with urllib.request.urlopen(url, timeout=SECONDS) as answer, part.open("wb") as file:
        size = int(answer.headers.get("Content-Length") or model.megabytes * 2**20)
        while block := answer.read(CHUNK):
            file.write(block)
            digest.update(block)
            got += len(block)
            report(got / size, f"{got / 2**20:.1f} of {size / 2**20:.1f} MB")
    if got < size and answer.headers.get("Content-Length"):
        raise OSError("the connection ended early")
    return digest.hexdigest()


@lru_cache(maxsize=1)
def load_pretrained(name: str) -> nn.Module:
    """A downloaded detector without suppression, in eval mode; the last one asked for is kept. Do not change it."""
    model = PRETRAINED[name]
    network = model.build(weights=None, weights_backbone=None, **model.options)
    network.load_state_dict(torch.load(model.path, map_location="cpu", weights_only=True))
    return network.eval().requires_grad_(False)


@per_picture
def pretrained_boxes(picture: Picture, name: str) -> Detections:
    """What a downloaded detector says of a picture before suppression, by falling score.

    Args:
        picture: where to look.
        name: key of ``PRETRAINED`` whose file is here.

    Returns:
        The ``MOST_BOXES`` best boxes of a score of at least ``LOW``, in pixels of ``reduced(picture)``.
    """
    model = PRETRAINED[name]
    with torch.inference_mode():
        found = load_pretrained(name)([reduced(picture).float() / 255])[0]
    return named(found["boxes"], found["scores"], found["labels"], model.weights.meta["categories"])


def named(boxes: Tensor, scores: Tensor, labels: Tensor, categories: list[str]) -> Detections:
    """Detections with the names of the classes that occur, by falling score."""
    classes = sorted(set(labels.tolist()))
    places = {label: place for place, label in enumerate(classes)}
    names = tuple(categories[label] for label in classes) or ("nothing",)
    marks = [places[label] for label in labels.tolist()]
    return detections(boxes.tolist(), scores.tolist(), marks, names).best(MOST_BOXES)
