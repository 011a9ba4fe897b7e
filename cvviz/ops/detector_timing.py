"""How long each step of a torchvision detector takes here, measured while the whole detector runs.

The weights are random, so that what the detector says means nothing, and how much it says would be arbitrary: the steps
that sort out boxes would get none, or hundreds of thousands. So the outputs of its heads are replaced, once they have
been computed, by made-up ones: boxes close to their anchors, as a trained detector gives them, a fixed number of scores
above the threshold, and exactly as many proposals as asked for. All else is torchvision's own code.
"""

from __future__ import annotations

import ctypes
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.models import get_model
from torchvision.models.detection.ssd import SSD

from cvviz.ops.checks import check_range
from cvviz.ops.detector_cost import DETECTORS, stage_macs, stage_of

STEPS = ("prepare", "backbone", "neck", "head", "proposals", "pooling", "box", "detections")
CANDIDATES = 300  # scores above the threshold in the whole picture, or one per proposal if there are fewer
MOST_SIDE, MOST_PROPOSALS = 512, 1000  # half a gigabyte with the largest detector
BUDGET = 1.5  # seconds of repetitions, after which no further one is begun
MOST_RUNS = 5
LOW, HIGH = -8.0, 8.0  # logits whose scores are below and above every threshold
# Module -> the step that it is. What no such module accounts for is the sorting out of boxes.
STEP_OF = {
    "transform": "prepare",
    "backbone.body": "backbone",
    "backbone.fpn": "neck",
    "head": "head",
    "rpn": "rpn",
    "rpn.head": "head",
    "roi_heads.box_roi_pool": "pooling",
    "roi_heads.box_head": "box",
    "roi_heads.box_predictor": "box",
}

Progress = Callable[[float, str], None]


@dataclass(frozen=True, slots=True)
class Timing:
    """What was measured of one detector.

    Args:
        name: one of ``DETECTORS``.
        side: of the picture, in pixels.
        proposals: that its second stage looked at; 0 if it has none.
        macs: stage -> multiply-accumulates.
        seconds: step -> seconds, in the fastest run.
        runs: how many were measured, after one that was not.
        second_stage: (proposals, seconds) of pooling and box head: for fewer proposals, and for all.
    """

    name: str
    side: int
    proposals: int
    macs: Mapping[str, int]
    seconds: Mapping[str, float]
    runs: int
    second_stage: tuple[tuple[int, float], ...]

    @property
    def total(self) -> float:
        """Seconds for one picture."""
        return sum(self.seconds.values())


def time_detector(
    name: str, *, side: int, proposals: int = 0, classes: int = 91, seed: int = 0, progress: Progress | None = None
) -> Timing:
    """Run a detector with random weights on a picture of noise, and time its steps.

    One run to warm up, then at least one that counts, and up to ``MOST_RUNS`` while ``BUDGET`` seconds last. The
    detector is built for this and let go afterwards.

    Args:
        name: one of ``DETECTORS``.
        side: of the square picture, in pixels, from 64 to ``MOST_SIDE``.
        proposals: regions that the second stage looks at, from 0 to ``MOST_PROPOSALS``. A one-stage detector has no use
            for them.
        classes: number of classes, the background among them, at least 2.
        seed: of weights, picture and made-up outputs.
        progress: told the fraction of the work done, and the step at hand, at every layer. What it raises ends the run.

    Returns:
        Seconds per step.

    Raises:
        ValueError: if an argument is out of range.

    Example:
        >>> timing = time_detector("ssdlite320_mobilenet_v3_large", side=64)
        >>> [step for step in STEPS if timing.seconds[step] > 0]
        ['prepare', 'backbone', 'neck', 'head', 'detections']

    Reference:
        Huang et al., "Speed/accuracy trade-offs for modern convolutional object detectors", 2017,
        https://arxiv.org/abs/1611.10012
    """
    check_range(side, "side", 64, MOST_SIDE)
    check_range(proposals, "proposals", 0, MOST_PROPOSALS)
    macs = stage_macs(name, side=side, proposals=proposals, classes=classes)
    if not DETECTORS[name].two_stage:
        proposals = 0
    sizes = sorted({proposals // 4, proposals // 2, 3 * proposals // 4} - {0})
    meter = Meter(2 * sum(macs.values()) + 2 * sum(macs["box"] * size / proposals for size in sizes), progress)
    try:
        runs, curve = measure(name, side, proposals, classes, seed, sizes, meter)
    finally:
        return_memory()
    best = min(runs, key=lambda run: sum(run.values()))
    if DETECTORS[name].two_stage:
        curve.append((proposals, best["pooling"] + best["box"]))
    return Timing(name, side, proposals, macs, best, len(runs), tuple(curve))


def measure(
    name: str, side: int, proposals: int, classes: int, seed: int, sizes: list[int], meter: Meter
) -> tuple[list[dict[str, float]], list[tuple[int, float]]]:
    """Seconds per step of each run, and of the second stage for the numbers of proposals in ``sizes``."""
    with torch.random.fork_rng(devices=[]), torch.inference_mode(), ExitStack() as hooks:
        torch.manual_seed(seed)
        model = get_model(name, weights=None, weights_backbone=None, num_classes=classes).eval()
        resize_to(model, side)
        picture, boxes = torch.rand(3, side, side), random_boxes(proposals, side)
        for handle in (*watch(model, meter), *replace_outputs(model, boxes)):
            hooks.callback(handle.remove)
        maps: list[dict[str, Tensor]] = []
        if sizes:
            model.roi_heads.register_forward_pre_hook(lambda _, given: maps.__setitem__(slice(None), given[:1]))
        timed_run(model, picture, meter)  # pays for memory and for the choice of kernels
        runs, deadline = [timed_run(model, picture, meter)], time.perf_counter() + BUDGET
        while len(runs) < MOST_RUNS and time.perf_counter() < deadline:
            runs.append(timed_run(model, picture, meter))
        return runs, [(size, timed_second_stage(model, maps[0], boxes[:size], meter)) for size in sizes]


def return_memory() -> None:
    """Ask the C library to give back to the system what is free. By itself glibc keeps it, as much as a detector."""
    if sys.platform == "linux":
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim:
            trim(0)


def resize_to(model: Any, side: int) -> None:
    """Let a detector work at the size of the picture that it is given."""
    model.transform.min_size, model.transform.max_size = (side,), side
    if model.transform.fixed_size:
        model.transform.fixed_size = (side, side)


@dataclass
class Meter:
    """Clocks of the steps, and the multiply-accumulates done so far of those planned."""

    planned: float
    progress: Progress | None
    done: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def work(self, step: str, macs: float = 0) -> None:
        """Tell the listener what is at hand."""
        self.done += macs
        if self.progress:
            self.progress(min(self.done / max(self.planned, 1), 1.0), step)


def watch(model: nn.Module, meter: Meter) -> Iterator[Any]:
    """Clock the modules that make up a step, and report every layer; yields the handles of the hooks."""
    for path, module in model.named_modules():
        step = STEP_OF.get(path)
        if path.rpartition(".")[0] in ("backbone.features", "backbone.extra"):
            step = stage_of(path)  # an SSD calls the parts of its backbone one by one
        if step:
            yield from clock(module, step, meter)
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            yield module.register_forward_hook(report(stage_of(path), meter))


def clock(module: nn.Module, step: str, meter: Meter) -> Iterator[Any]:
    """Add the time that a module takes to a step."""
    start = 0.0

    def begin(_module: nn.Module, _inputs: Any) -> None:
        nonlocal start
        start = time.perf_counter()

    def end(_module: nn.Module, _inputs: Any, _output: Any) -> None:
        meter.seconds[step] += time.perf_counter() - start

    yield module.register_forward_pre_hook(begin)
    yield module.register_forward_hook(end)


def report(step: str, meter: Meter) -> Callable[[Any, Any, Tensor], None]:
    """Hook that tells the listener of a layer's multiply-accumulates."""

    def tell(layer: Any, _inputs: Any, output: Tensor) -> None:
        meter.work(step, layer.weight.numel() * output.numel() / output.shape[1])

    return tell


def replace_outputs(model: Any, boxes: Tensor) -> Iterator[Any]:
    """Put made-up outputs in the place of those of random weights; yields the handles of the hooks."""
    if not hasattr(model, "rpn"):
        yield model.head.register_forward_hook(instead(partial(dense_outputs, softmax=isinstance(model, SSD))))
        return
    yield model.rpn.head.register_forward_hook(instead(rpn_outputs))
    yield model.rpn.register_forward_hook(instead(lambda given: ([boxes], given[1])))
    yield model.roi_heads.box_predictor.register_forward_hook(instead(box_outputs))


def instead(make: Callable[[Any], Any]) -> Callable[[Any, Any, Any], Any]:
    """Hook that replaces an output by what ``make`` makes of the first one, so that it costs nothing later."""
    made: list[Any] = []

    def replace(_module: Any, _inputs: Any, output: Any) -> Any:
        if not made:
            made.append(make(output))
        return made[0]

    return replace


def rpn_outputs(given: tuple[list[Tensor], list[Tensor]]) -> tuple[list[Tensor], list[Tensor]]:
    """Any scores, and boxes close to their anchors."""
    scores, deltas = given
    return [torch.randn_like(level) for level in scores], [0.1 * torch.randn_like(level) for level in deltas]


def box_outputs(given: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Some proposals with a class, all others background, and boxes close to the proposals."""
    scores, deltas = given
    return few_scores(scores, softmax=True), 0.1 * torch.randn_like(deltas)


def dense_outputs(given: dict[str, Tensor], *, softmax: bool) -> dict[str, Tensor]:
    """Some places with a class, and boxes close to their anchors."""
    scores, deltas = given["cls_logits"], given["bbox_regression"]
    centred = "bbox_ctrness" in given  # FCOS: distances to the four sides, and how central a place is
    made = {
        "cls_logits": few_scores(scores[0], softmax=softmax)[None],
        "bbox_regression": float(centred) + 0.1 * torch.randn_like(deltas),
    }
    return made | ({"bbox_ctrness": torch.full_like(given["bbox_ctrness"], HIGH)} if centred else {})


def few_scores(scores: Tensor, *, softmax: bool) -> Tensor:
    """(A, K) logits of which ``CANDIDATES`` rows, or all if there are fewer, name one class other than the first."""
    places, classes = scores.shape
    made = torch.full_like(scores, LOW)
    if softmax:
        made[:, 0] = HIGH  # the background
    rows = torch.randperm(places)[:CANDIDATES]
    made[rows, 0] = LOW
    made[rows, torch.randint(1, classes, rows.shape)] = HIGH * torch.rand(rows.shape)
    return made


def random_boxes(count: int, side: int) -> Tensor:
    """(count, 4) boxes inside the picture, of sides from 1/20 to 1/2 of its own, small ones as often as large ones."""
    size = side * 0.05 * 10 ** torch.rand(count, 2)
    corner = torch.rand(count, 2) * (side - size)
    return torch.cat([corner, corner + size], dim=1)


def timed_run(model: Any, picture: Tensor, meter: Meter) -> dict[str, float]:
    """Seconds per step of one run."""
    meter.seconds.clear()
    start = time.perf_counter()
    model([picture])
    total = time.perf_counter() - start
    found = dict.fromkeys(STEPS, 0.0) | meter.seconds
    found["proposals"] = found.pop("rpn", found["head"]) - found["head"]
    found["detections"] = total - sum(found.values())
    return found


def timed_second_stage(model: Any, maps: dict[str, Tensor], boxes: Tensor, meter: Meter) -> float:
    """Seconds of pooling and box head for some proposals, the faster of two runs."""
    heads, side, found = model.roi_heads, model.transform.max_size, []
    for _ in range(2):
        meter.seconds.clear()
        heads.box_predictor(heads.box_head(heads.box_roi_pool(maps, [boxes], [(side, side)])))
        found.append(meter.seconds["pooling"] + meter.seconds["box"])
    return min(found)
