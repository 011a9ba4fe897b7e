"""Detections: scored, labelled boxes, and the reading of a user's own from CSV or from JSON in COCO's formats.

Coordinates are pixels of the picture, rounded to 0.01, and scores to 0.0001: what is shown is then exactly what is
computed with, and short to write down.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import torch
from torch import Tensor

_MOST_BYTES = 10 * 2**20
_FARTHEST = 100_000  # px; no camera has such a picture, and a wrong column does
_SHOWN = 3  # refused rows that are named
_COLUMNS = {  # what people call them
    "x1": ("x1", "xmin", "left", "x"),
    "y1": ("y1", "ymin", "top", "y"),
    "x2": ("x2", "xmax", "right"),
    "y2": ("y2", "ymax", "bottom"),
    "width": ("w", "width"),
    "height": ("h", "height"),
    "score": ("score", "confidence", "conf", "probability", "prob"),
    "label": ("label", "class", "name", "category", "category_id", "class_id", "cls"),
    "image": ("image", "image_id", "file", "filename", "file_name", "frame"),
}
_WANTED = "x1,y1,x2,y2,score,label or x,y,w,h,score,label"
_EXAMPLE = b"""x1,y1,x2,y2,score,label
40,180,300,330,0.94,car
46,176,306,334,0.71,car
30,186,290,326,0.55,car
42,178,302,332,0.62,truck
380,90,450,330,0.91,person
374,98,446,336,0.66,person
386,84,458,324,0.48,person
365,190,480,345,0.83,bicycle
372,196,488,350,0.51,bicycle
520,120,585,340,0.88,person
528,112,590,334,0.57,person
560,130,625,345,0.79,person
470,270,560,345,0.42,dog
478,276,566,350,0.30,dog
200,40,250,90,0.12,person
"""


@dataclass(frozen=True, eq=False)
class Detections:
    """Boxes found in one picture.

    Args:
        boxes: (N, 4) float64, corners x1, y1, x2, y2 in pixels.
        scores: (N,) float64 in [0, 1].
        labels: (N,) int64, the class of each box as a place in ``names``.
        names: names of the classes.
        notes: sentences about what was left out or assumed.
    """

    boxes: Tensor
    scores: Tensor
    labels: Tensor
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def best(self, most: int) -> Detections:
        """The ``most`` boxes of highest score, by falling score; equal scores keep their order."""
        order = self.scores.argsort(descending=True, stable=True)[:most]
        cut = f"Of {len(self.scores)} boxes, the {most} with the highest scores are used."
        notes = (*self.notes, cut) if len(self.scores) > most else self.notes
        return Detections(self.boxes[order], self.scores[order], self.labels[order], self.names, notes)


def detections(
    boxes: Iterable[Iterable[float]],
    scores: Iterable[float],
    labels: Iterable[int],
    names: tuple[str, ...],
    notes: tuple[str, ...] = (),
) -> Detections:
    """Detections from rows of numbers, rounded to 0.01 px and to 0.0001."""
    rows = torch.tensor([list(box) for box in boxes], dtype=torch.float64).reshape(-1, 4)
    values = torch.tensor(list(scores), dtype=torch.float64)
    classes = torch.tensor(list(labels), dtype=torch.long)
    return Detections(rows.round(decimals=2), values.round(decimals=4), classes, names, notes)


class _Row(NamedTuple):
    image: str
    label: str
    box: tuple[float, float, float, float]
    score: float | None


class _RowError(Exception):
    """Why one row cannot be used."""


def read_detections(name: str, data: bytes) -> Detections:
    """A user's own detections, of one image: where a file has several, the one with the most boxes.

    CSV (parted by commas, semicolons or tabs) has a first line that names its columns: ``x1,y1,x2,y2`` or ``x,y,w,h``,
    and as far as there are any ``score``, ``label`` and ``image``, in any order, among others. JSON is COCO's list of
    results ``{"image_id", "category_id", "bbox": [x, y, w, h], "score"}``, or COCO's annotation file. Rows that cannot
    be used are left out and named in ``notes``. Without scores every box gets 1.

    Args:
        name: file name, for messages.
        data: content of the file.

    Raises:
        ValueError: with one sentence for the user, if nothing in it can be used.
    """
    file = f"“{_short(name)}”"
    if len(data) > _MOST_BYTES:
        raise ValueError(f"{file} has more than {_MOST_BYTES // 2**20} MB: cut it down to the boxes of a few images.")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{file} is not text in UTF-8: save it as CSV (UTF-8) or JSON.") from None
    rows, refused = [], []
    for place, read in (_json_rows if text.lstrip()[:1] in ("[", "{") else _csv_rows)(file, text):
        try:
            rows.append(read())
        except _RowError as problem:
            refused.append(f"{place}: {problem}")
    if not rows:
        raise ValueError(f"{file} has no box that can be used{': ' + refused[0] if refused else ''}.")
    return _collect(file, rows, refused)


@lru_cache(maxsize=1)
def example() -> Detections:
    """A made-up file of a street, to start from: a car that is called a truck as well, people, a bicycle and a dog."""
    return read_detections("example.csv", _EXAMPLE)


def _collect(file: str, rows: list[_Row], refused: list[str]) -> Detections:
    counts = Counter(row.image for row in rows)
    image, count = counts.most_common(1)[0]
    chosen = [row for row in rows if row.image == image]
    if all(0 <= number <= 1 for row in rows for number in row.box):
        raise ValueError(f"{file} has coordinates between 0 and 1: multiply them by the size of the image in pixels.")
    names = tuple(dict.fromkeys(row.label for row in chosen))
    notes = []
    if len(counts) > 1:
        notes.append(f"Of {len(counts)} images, “{_short(image)}” is shown: it has {count} boxes.")
    if any(row.score is None for row in chosen):
        notes.append("Boxes without a score got 1; among equals, the first in the file wins.")
    if refused:
        more = f"; and {len(refused) - _SHOWN} more" if len(refused) > _SHOWN else ""
        left_out = f"{len(refused)} row{'s were' if len(refused) > 1 else ' was'} left out"
        notes.append(f"{left_out}: {'; '.join(refused[:_SHOWN])}{more}.")
    scores = [1.0 if row.score is None else row.score for row in chosen]
    labels = [names.index(row.label) for row in chosen]
    return detections([row.box for row in chosen], scores, labels, names, tuple(notes))


Rows = Iterator[tuple[str, Callable[[], _Row]]]


def _csv_rows(file: str, text: str) -> Rows:
    head = text.lstrip().partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    lines = csv.reader(io.StringIO(text), delimiter=delimiter)
    try:
        header: list[str] = []
        for cells in lines:
            if not any(cell.strip() for cell in cells):
                continue
            if not header:
                header = [cell.strip().lower() for cell in cells]
                columns = _columns(file, header)
                continue
            values = {key: cells[place].strip() if place < len(cells) else "" for key, place in columns.items()}
            # Where semicolons part the cells, a comma may be the decimal point.
            yield f"line {lines.line_num}", partial(_csv_row, values, comma=delimiter == ";")
    except csv.Error as problem:
        raise ValueError(f"{file} cannot be read as CSV at line {lines.line_num}: {problem}.") from None


def _columns(file: str, header: list[str]) -> dict[str, int]:
    columns = {
        key: next(header.index(alias) for alias in aliases if alias in header)
        for key, aliases in _COLUMNS.items()
        if any(alias in header for alias in aliases)
    }
    corners = {"x1", "y1", "x2", "y2"} <= columns.keys()
    if not corners and not {"x1", "y1", "width", "height"} <= columns.keys():
        raise ValueError(f"{file} must name its columns in the first line, such as {_WANTED}.")
    return columns


def _csv_row(values: Mapping[str, str], *, comma: bool) -> _Row:
    def number(key: str) -> float:
        return _number(values[key].replace(",", ".") if comma else values[key], key)

    if "x2" in values and "y2" in values:
        corners = number("x1"), number("y1"), number("x2"), number("y2")
    else:
        x, y = number("x1"), number("y1")
        corners = x, y, x + number("width"), y + number("height")
    score = number("score") if values.get("score") else None
    return _row(values.get("image", ""), values.get("label", ""), corners, score)


def _json_rows(file: str, text: str) -> Rows:
    try:
        content = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as problem:
        where = f" (line {problem.lineno})" if isinstance(problem, json.JSONDecodeError) else ""
        raise ValueError(f"{file} is damaged: it is not valid JSON{where}.") from None
    entries = content.get("annotations") if isinstance(content, dict) else content
    if not isinstance(entries, list):
        raise ValueError(f"{file} must be COCO's list of results, or an object with “annotations”.")
    categories = content.get("categories") if isinstance(content, dict) else None
    names = {
        item.get("id"): str(item.get("name"))
        for item in (categories if isinstance(categories, list) else [])
        if isinstance(item, dict) and isinstance(item.get("id"), (int, str))
    }
    for place, entry in enumerate(entries, start=1):
        yield f"entry {place}", partial(_json_row, entry, names)


def _json_row(entry: Any, names: Mapping[Any, str]) -> _Row:
    if not isinstance(entry, dict):
        raise _RowError("is not an object")
    bbox = entry.get("bbox")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise _RowError("bbox must be [x, y, width, height]")
    x, y, width, height = (_number(value, "bbox") for value in bbox)
    category = entry.get("category_id")
    known = names.get(category) if isinstance(category, (int, str)) else None
    label = known or ("" if category is None else f"category {category}")
    score = None if entry.get("score") is None else _number(entry["score"], "score")
    return _row(str(entry.get("image_id", "")), label, (x, y, x + width, y + height), score)


def _number(value: Any, key: str) -> float:
    try:
        number = float(value) if not isinstance(value, bool) else math.nan
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise _RowError(f"{key} is “{_short(str(value))}”, which is no number")
    return number


def _row(image: str, label: str, box: tuple[float, float, float, float], score: float | None) -> _Row:
    x1, y1, x2, y2 = (round(number, 2) for number in box)
    if max(abs(x1), abs(y1), abs(x2), abs(y2)) > _FARTHEST:
        raise _RowError(f"the box reaches beyond {_FARTHEST} px")
    if x2 <= x1 or y2 <= y1:
        raise _RowError(f"the box is {x2 - x1:g} wide and {y2 - y1:g} high")
    if score is not None and not 0 <= score <= 1:
        raise _RowError(f"score {score:g} does not lie between 0 and 1")
    return _Row(image, _short(label) or "object", (x1, y1, x2, y2), score)


def _short(text: str) -> str:
    return text if len(text) <= 40 else text[:39] + "…"
