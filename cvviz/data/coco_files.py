"""A user's own ground truth and results in COCO's JSON: read strictly, with the key and the place of what is wrong.

Nothing is skipped: a set without some of its boxes would have another AP.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
import torch
from torch import Tensor

from cvviz.data.memo import Memo
from cvviz.ops.detection_metrics import Predictions, Truth

MOST_BYTES = 10 * 2**20
_TOP = ("images", "annotations", "categories")
_FARTHEST = 1e6  # px; sums and products of larger numbers lose the pixels


@dataclass(frozen=True, eq=False)
class CocoTruth:
    """A ground-truth file. Images and categories are numbered by rising id, as COCO's evaluation does.

    Args:
        name: of the file.
        images: N ids, rising.
        titles: N file names, or the ids as text.
        sizes: N pairs (width, height) in px; of the outermost corner of a box where the file does not say.
        categories: K ids, rising.
        names: K names, cut to 60 characters as the titles are.
        bboxes: (T, 4) float64, x, y, width, height.
        truth: the same boxes as corners, with classes, images, crowds and areas.
        notes: sentences about what was assumed.
        memo: what is computed of the file.
    """

    name: str
    images: tuple[int, ...]
    titles: tuple[str, ...]
    sizes: tuple[tuple[float, float], ...]
    categories: tuple[int, ...]
    names: tuple[str, ...]
    bboxes: Tensor
    truth: Truth
    notes: tuple[str, ...] = ()
    memo: Memo = field(default_factory=Memo)


@dataclass(frozen=True, eq=False)
class CocoResults:
    """A result file, by itself.

    Args:
        name: of the file.
        images, categories: D ids.
        bboxes: (D, 4) float64, x, y, width, height.
        scores: (D,) float64.
    """

    name: str
    images: tuple[int, ...]
    categories: tuple[int, ...]
    bboxes: Tensor
    scores: Tensor


class _FileError(Exception):
    """What is wrong, with key and place."""


def read_truth(name: str, data: bytes) -> CocoTruth:
    """Read a ground-truth file: an object with ``images``, ``annotations`` and ``categories``.

    Args:
        name: file name, for messages.
        data: content of the file.

    Raises:
        ValueError: with one sentence that names the key and the place, if anything in it cannot be used.

    Example:
        >>> read_truth("a.json", b'{"images": [{"id": 1}], "categories": [{"id": 3, "name": "car"}], "annotations": 5}')
        Traceback (most recent call last):
        ValueError: “a.json”: annotations must be a list, got 5.
    """
    content = _load(name, data)
    try:
        return _truth(name, content)
    except _FileError as problem:
        raise ValueError(f"“{_short(name)}”: {problem}") from None


def read_results(name: str, data: bytes) -> CocoResults:
    """Read a result file: a list of objects with ``image_id``, ``category_id``, ``bbox`` and ``score``.

    Args:
        name: file name, for messages.
        data: content of the file.

    Raises:
        ValueError: with one sentence that names the key and the place, if anything in it cannot be used.

    Example:
        >>> read_results("b.json", b'[{"image_id": 1, "category_id": 3, "bbox": [0, 0, 9], "score": 0.5}]')
        Traceback (most recent call last):
        ValueError: “b.json”: [0].bbox must be four numbers x, y, width, height, got [0,0,9].
    """
    content = _load(name, data)
    try:
        if isinstance(content, dict) and "annotations" in content:
            raise _FileError("this is a ground-truth file; results are a list of image_id, category_id, bbox, score.")
        if not isinstance(content, list):
            raise _FileError(f"results must be a list, got {_shown(content)}.")
        if not content:
            raise _FileError("the list of results is empty.")
        rows = [_result(f"[{place}]", entry) for place, entry in enumerate(content)]
    except _FileError as problem:
        raise ValueError(f"“{_short(name)}”: {problem}") from None
    images, categories, bboxes, scores = zip(*rows, strict=True)
    return CocoResults(name, images, categories, _floats(bboxes), _floats(scores))


def predictions_for(truth: CocoTruth, results: CocoResults) -> Predictions:
    """The results as detections of the truth's images and classes, in the order of their file.

    Raises:
        ValueError: naming the first result of an image or a category that the truth does not have.
    """
    columns = []
    for key, ids, known in (
        ("image_id", results.images, truth.images),
        ("category_id", results.categories, truth.categories),
    ):
        places = {value: place for place, value in enumerate(known)}
        unknown = next((place for place, value in enumerate(ids) if value not in places), None)
        if unknown is not None:
            what = "images" if key == "image_id" else "categories"
            raise ValueError(
                f"“{_short(results.name)}”: [{unknown}].{key} is {ids[unknown]}, "
                f"which is not among the {what} of “{_short(truth.name)}”."
            )
        columns.append(torch.tensor([places[value] for value in ids]))
    images, labels = columns
    return Predictions(corners(results.bboxes), labels, images, results.scores)


def corners(bboxes: Tensor) -> Tensor:
    """Corners x1, y1, x2, y2 of boxes (N, 4) given as x, y, width, height."""
    return torch.cat([bboxes[:, :2], bboxes[:, :2] + bboxes[:, 2:]], dim=1)


def write_files(
    truth: Truth, predictions: Predictions, names: Sequence[str], sizes: Sequence[tuple[int, int]]
) -> tuple[bytes, bytes]:
    """A set of images as a ground-truth and a result file; ids count from 1.

    Args:
        truth, predictions: the set.
        names: of the classes.
        sizes: width and height of each image.
    """

    def bbox(box: list[float]) -> list[float]:
        x1, y1, x2, y2 = box
        return [x1, y1, x2 - x1, y2 - y1]

    objects = zip(truth.boxes.tolist(), truth.labels.tolist(), truth.images.tolist(), strict=True)
    found = zip(predictions.boxes.tolist(), predictions.labels.tolist(), predictions.images.tolist(), strict=True)
    more = zip(truth.areas.tolist(), truth.crowd.tolist(), strict=True)
    content = {
        "images": [
            {"id": place, "file_name": f"image-{place}.png", "width": width, "height": height}
            for place, (width, height) in enumerate(sizes, start=1)
        ],
        "categories": [{"id": place, "name": name} for place, name in enumerate(names, start=1)],
        "annotations": [
            {
                "id": place,
                "image_id": image + 1,
                "category_id": label + 1,
                "bbox": bbox(box),
                "area": area,
                "iscrowd": int(crowd),
            }
            for place, ((box, label, image), (area, crowd)) in enumerate(zip(objects, more, strict=True), start=1)
        ],
    }
    results = [
        {"image_id": image + 1, "category_id": label + 1, "bbox": bbox(box), "score": score}
        for (box, label, image), score in zip(found, predictions.scores.tolist(), strict=True)
    ]
    return orjson.dumps(content, option=orjson.OPT_INDENT_2), orjson.dumps(results, option=orjson.OPT_INDENT_2)


def _load(name: str, data: bytes) -> Any:
    file = f"“{_short(name)}”"
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"{file} has more than {MOST_BYTES // 2**20} MB: leave out segmentations, which boxes do not need, "
            "or some of the images."
        )
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as problem:
        raise ValueError(f"{file} is not valid JSON: line {problem.lineno}, column {problem.colno}.") from None


def _truth(name: str, content: Any) -> CocoTruth:
    if isinstance(content, list):
        raise _FileError(f"this is a list, as results are; the ground truth is an object with {', '.join(_TOP)}.")
    if not isinstance(content, dict):
        raise _FileError(f"the ground truth must be an object with {', '.join(_TOP)}, got {_shown(content)}.")
    for key in _TOP:
        if key not in content:
            raise _FileError(f"{key} is missing.")
        if not isinstance(content[key], list):
            raise _FileError(f"{key} must be a list, got {_shown(content[key])}.")
        if not content[key]:
            raise _FileError(f"{key} is empty.")
    images = _by_id("images", content["images"])
    for place, entry in enumerate(content["images"]):
        for key in ("width", "height"):
            if entry.get(key) is not None:
                _number(f"images[{place}]", entry, key, low=1)
    categories = _by_id("categories", content["categories"])
    image_places, label_places = ({value: place for place, value in enumerate(ids)} for ids in (images, categories))
    rows, without, zero = [], 0, False
    for place, entry in enumerate(content["annotations"]):
        where = f"annotations[{place}]"
        image = _known(where, entry, "image_id", image_places, "images")
        label = _known(where, entry, "category_id", label_places, "categories")
        box = _bbox(where, entry)
        without += "area" not in entry
        zero |= entry.get("id") == 0
        area = _number(where, entry, "area", low=0) if "area" in entry else box[2] * box[3]
        crowd = entry.get("iscrowd", 0)
        if crowd not in (0, 1):
            raise _FileError(f"{where}.iscrowd must be 0 or 1, got {_shown(crowd)}.")
        rows.append((box, label, image, bool(crowd), area))
    boxes, labels, places, crowds, areas = zip(*rows, strict=True)
    bboxes = _floats(boxes)
    truth = Truth(
        corners(bboxes),
        torch.tensor(labels),
        torch.tensor(places),
        torch.tensor(crowds, dtype=torch.bool),
        _floats(areas),
    )
    notes = [f"{without} annotations give no area: width × height was taken."] if without else []
    if zero:
        notes.append(
            "An annotation has the id 0, which pycocotools takes for unmatched. Here it counts like any other."
        )
    return CocoTruth(
        name=name,
        images=tuple(images),
        titles=tuple(_short(str(entry.get("file_name", f"image {value}"))) for value, entry in images.items()),
        sizes=tuple(_sizes(images, truth)),
        categories=tuple(categories),
        names=tuple(_short(str(entry.get("name", f"category {value}"))) for value, entry in categories.items()),
        bboxes=bboxes,
        truth=truth,
        notes=tuple(notes),
    )


def _by_id(key: str, entries: list[Any]) -> dict[int, dict[str, Any]]:
    """Entries by rising id."""
    found: dict[int, dict[str, Any]] = {}
    for place, entry in enumerate(entries):
        value = _integer(f"{key}[{place}]", entry, "id")
        if value in found:
            raise _FileError(f"{key}[{place}].id is {value}, which an earlier entry has.")
        found[value] = entry
    return dict(sorted(found.items()))


def _sizes(images: dict[int, dict[str, Any]], truth: Truth) -> Iterator[tuple[float, float]]:
    farthest = torch.ones(len(images), 2, dtype=torch.float64)
    index = truth.images[:, None].expand(-1, 2)
    farthest = farthest.scatter_reduce(0, index, truth.boxes[:, 2:], "amax").ceil()
    for (width, height), entry in zip(farthest.tolist(), images.values(), strict=True):
        yield float(entry.get("width") or width), float(entry.get("height") or height)


def _result(where: str, entry: Any) -> tuple[int, int, tuple[float, ...], float]:
    image, category = _integer(where, entry, "image_id"), _integer(where, entry, "category_id")
    return image, category, _bbox(where, entry), _number(where, entry, "score")


def _get(where: str, entry: Any, key: str) -> Any:
    if not isinstance(entry, dict):
        raise _FileError(f"{where} must be an object, got {_shown(entry)}.")
    if key not in entry:
        raise _FileError(f"{where}.{key} is missing.")
    return entry[key]


def _integer(where: str, entry: Any, key: str) -> int:
    value = _get(where, entry, key)
    if type(value) is not int:  # True is no id
        raise _FileError(f"{where}.{key} must be a whole number, got {_shown(value)}.")
    return value


def _known(where: str, entry: Any, key: str, places: dict[int, int], what: str) -> int:
    value = _integer(where, entry, key)
    if value not in places:
        raise _FileError(f"{where}.{key} is {value}, which is not among the {what}.")
    return places[value]


def _number(where: str, entry: Any, key: str, low: float = -math.inf) -> float:
    value = _get(where, entry, key)
    if type(value) not in (int, float) or not low <= value < math.inf:
        wanted = "a number" if low == -math.inf else f"a number of at least {low:g}"
        raise _FileError(f"{where}.{key} must be {wanted}, got {_shown(value)}.")
    return float(value)


def _bbox(where: str, entry: Any) -> tuple[float, ...]:
    value = _get(where, entry, "bbox")
    if not isinstance(value, list) or len(value) != 4 or any(type(number) not in (int, float) for number in value):
        raise _FileError(f"{where}.bbox must be four numbers x, y, width, height, got {_shown(value)}.")
    if any(abs(number) > _FARTHEST for number in value):
        raise _FileError(f"{where}.bbox must stay within {_FARTHEST:,.0f} px, got {_shown(value)}.")
    if value[2] < 0 or value[3] < 0:
        raise _FileError(f"{where}.bbox is x, y, width, height: neither side may be negative, got {_shown(value)}.")
    return tuple(map(float, value))


def _floats(rows: Sequence[Any]) -> Tensor:
    return torch.tensor(rows, dtype=torch.float64)


def _shown(value: Any) -> str:
    return _short(orjson.dumps(value).decode())


def _short(text: str) -> str:
    return text if len(text) <= 60 else text[:59] + "…"
