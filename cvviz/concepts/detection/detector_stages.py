"""What one-stage and two-stage detectors do, stage by stage: multiply-accumulates, parameters, and time."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

import pandas as pd
import plotly.graph_objects as go
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode
from torchvision.models import get_model, get_model_weights

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Slider
from cvviz.figures.detector_stages import STAGE_LOOKS, STEP_LOOKS, Measured, Point, Row, stages_figure
from cvviz.ops import detector_timing
from cvviz.ops.detector_cost import DETECTORS, STAGES, anatomy, stage_macs
from cvviz.ops.detector_timing import Timing, time_detector

YARDSTICK = "ssdlite320_mobilenet_v3_large"  # measured first: it takes a moment
MOST = 3000  # proposals
ONE = {name: detector.title for name, detector in DETECTORS.items() if not detector.two_stage}
TWO = {name: detector.title for name, detector in DETECTORS.items() if detector.two_stage}
CLASSES = {
    "2": "1",
    "21": "20, as Pascal VOC",
    "91": "90, as COCO",
    "366": "365, as Objects365",
    "1204": "1203, as LVIS",
}
Timings = tuple[Timing, ...]
ALONE = threading.Lock()  # the weights of one detector in memory at a time, whoever asks


@dataclass(frozen=True, slots=True)
class Params:
    """Two detectors and what they are run on."""

    one: Annotated[str, Choice("One-stage detector", options=ONE)] = "retinanet_resnet50_fpn"
    two: Annotated[str, Choice("Two-stage detector", options=TWO)] = "fasterrcnn_resnet50_fpn"
    proposals: Annotated[int, Slider("Proposals N", 0, MOST, 10)] = 1000
    side: Annotated[int, Slider("Side of the picture", 224, 992, 96, unit="px")] = 512
    classes: Annotated[str, Choice("Classes", options=CLASSES, help="One more is the background.")] = "91"


@dataclass(frozen=True, slots=True)
class Result:
    """Costs of both detectors, the one-stage one first.

    Args:
        gmacs: (2, 4) of backbone, neck, head and box head, the last for one proposal.
        parameters: (2, 4) learned values of the same, in millions.
        totals: (2,) GMACs at the chosen number of proposals.
        crossover: proposals at which both cost the same; negative if the two-stage one costs more without any.
    """

    gmacs: Tensor
    parameters: Tensor
    totals: Tensor
    crossover: float


def compute(params: Params) -> Result:
    """Costs from the cells of each stride."""
    names, classes = (params.one, params.two), int(params.classes)
    macs = [stage_macs(name, side=params.side, proposals=1, classes=classes) for name in names]
    learned = [anatomy(name, classes=classes).parameters for name in names]
    gmacs = torch.tensor([[row[stage] for stage in STAGES] for row in macs], dtype=torch.float64) / 1e9
    fixed, each = gmacs[:, :3].sum(1), gmacs[:, 3]
    return Result(
        gmacs=gmacs,
        parameters=torch.tensor([[row[stage] for stage in STAGES] for row in learned], dtype=torch.float64) / 1e6,
        totals=fixed + params.proposals * each,
        crossover=float((fixed[0] - fixed[1]) / each[1]),
    )


@lru_cache(maxsize=256)
def reference(one: str, two: str, side: int, classes: str) -> Tensor:
    """GMACs of backbone, neck, head, and box head per proposal, and millions of parameters; a row per detector."""
    rows = []
    for name in (one, two):
        with torch.device("meta"):  # shapes without values: nothing is allocated and nothing computed
            model = get_model(name, weights=None, weights_backbone=None, num_classes=int(classes)).eval()
            picture, region = torch.zeros(1, 3, side, side), torch.zeros(1, 256, 7, 7)
        if "fpn" in name:
            maps, backbone = counted(model.backbone.body, picture)
            maps, neck = counted(model.backbone.fpn, maps)
        else:  # an SSD keeps the map after each part
            first, backbone = counted(model.backbone.features[0], picture)
            maps, costs = {0: first}, []
            for place, part in enumerate([model.backbone.features[1], *model.backbone.extra], start=1):
                maps[place], cost = counted(part, maps[place - 1])
                costs.append(cost)
            backbone, neck = backbone + costs[0], sum(costs[1:])
        head, box = counted(model.rpn.head if "rcnn" in name else model.head, list(maps.values()))[1], 0.0
        if "rcnn" in name:
            vectors, layers = counted(model.roi_heads.box_head, region)
            box = layers + counted(model.roi_heads.box_predictor, vectors)[1]
        parameters = sum(values.numel() for values in model.parameters())
        rows.append([backbone, neck, head, box, parameters / 1e6])
    return torch.tensor(rows, dtype=torch.float64)


def counted(module: nn.Module, inputs: Any) -> tuple[Any, float]:
    """What a module returns, and the GMACs of it. Torch counts a multiplication and an addition as two."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        output = module(inputs)
    return output, counter.get_total_flops() / 2e9


def stage(params: Params, result: Result) -> go.Figure:
    """Both detectors as rows of stages; below, the cost against the number of proposals."""
    one, two = rows_of(params, result)
    return stages_figure(one, two, proposals=params.proposals, crossover=result.crossover, most=MOST)


def rows_of(params: Params, result: Result) -> list[Row]:
    """Both detectors with the GMACs of their stages, at the chosen number of proposals."""
    rows = []
    for name, (backbone, neck, head, each) in zip((params.one, params.two), result.gmacs.tolist(), strict=True):
        rows.append(Row(DETECTORS[name].title, (backbone, neck, head, each * params.proposals), each))
    return rows


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    one, two = rows_of(params, result)
    return (
        f"{one.title}, costs {one.total:.3g} GMAC for {params.side} × {params.side} pixels. {two.title}, costs "
        f"{two.total:.3g} with {params.proposals} proposals, of which {two.gmacs[3]:.3g} are for its second stage. "
        f"{meeting(result)}"
    )


def meeting(result: Result) -> str:
    """Where the two costs meet, in a sentence."""
    if result.crossover < 0:
        return "The two-stage detector costs more even without a proposal."
    return f"They cost the same at {result.crossover:,.0f} proposals."


def digits(value: float, whole: float | None = None) -> str:
    """``value`` with as many decimals as give ``whole`` four digits, by default the value itself."""
    return f"{value:.{min(max(3 - math.floor(math.log10(whole or value)), 0), 6)}f}" if value else "0"


def formula(params: Params, result: Result) -> str:
    """Both costs and where they meet, with the numbers."""
    (*first, _), (*second, each) = result.gmacs.tolist()
    one, two = result.totals.tolist()
    fixed = sum(second)
    gap = abs(one - fixed)  # near nothing where the costs are alike: then its terms need more decimals
    sums = [" + ".join(digits(value, whole) for value in row) for row, whole in ((first, one), (second, two))]
    lines = (
        rf"C_1 &= {sums[0]} = \mathbf{{{digits(one)}}}\ \text{{GMAC}}",
        rf"C_2(N) &= {sums[1]} + {each:.4g}\,N = \mathbf{{{digits(two)}}}\quad\text{{at }} N = {params.proposals}",
        rf"N^* &= \frac{{C_1 - C_2(0)}}{{c}} = \frac{{{digits(one, gap)} - {digits(fixed, gap)}}}{{{each:.4g}}} ="
        rf" \mathbf{{{result.crossover:.0f}}}",
    )
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def table(params: Params, result: Result) -> pd.DataFrame:
    """A row per detector and stage."""
    rows = []
    for name, row, learned in zip(
        (params.one, params.two), rows_of(params, result), result.parameters.tolist(), strict=True
    ):
        for look, gmacs, millions in zip(STAGE_LOOKS.values(), row.gmacs, learned, strict=True):
            share = gmacs / row.total
            rows.append((DETECTORS[name].title, look.title, gmacs, share, millions))
    return pd.DataFrame(rows, columns=["detector", "stage", "gmac", "share", "million_parameters"])


def measure(params: Params, progress: Callable[..., None]) -> Timings:
    """Time the yardstick and both detectors one after the other; publishes what is known after each.

    Args:
        params: what to measure. The yardstick is measured at its own size.
        progress: called with a fraction, words and the timings so far; see ``cvviz.ui.job``.

    Raises:
        ValueError: if a detector would need more memory than a small server has.
    """
    side, proposals = detector_timing.MOST_SIDE, detector_timing.MOST_PROPOSALS
    if params.side > side or params.proposals > proposals:
        raise ValueError(
            f"The time is measured up to a side of {side} pixels and {proposals} proposals, which fits into the memory "
            "of a small server. Make the picture smaller or take fewer proposals."
        )
    sides = {YARDSTICK: DETECTORS[YARDSTICK].side, params.one: params.side, params.two: params.side}
    classes = int(params.classes)
    costs = {
        name: sum(stage_macs(name, side=side, proposals=params.proposals, classes=classes).values())
        for name, side in sides.items()
    }
    timings: list[Timing] = []
    done = 0

    def tell(fraction: float, step: str) -> None:
        words = f"{DETECTORS[name].title}: {step}"
        progress((done + fraction * costs[name]) / sum(costs.values()), words, tuple(timings) or None)

    while not ALONE.acquire(timeout=0.2):
        progress(0.0, "Another reader is measuring; this begins when that is over")
    try:
        for name, side in sides.items():
            timings.append(time_detector(name, side=side, proposals=params.proposals, classes=classes, progress=tell))
            done += costs[name]
    finally:
        ALONE.release()
    return tuple(timings)


def measured_rows(timings: Timings) -> list[Measured]:
    """Timings as the figure takes them."""
    return [
        Measured(
            DETECTORS[timing.name].title,
            {stage: macs / 1e9 for stage, macs in timing.macs.items()},
            {step: 1000 * seconds for step, seconds in timing.seconds.items()},
        )
        for timing in timings
    ]


def stage_table(params: Params, result: Result) -> pd.DataFrame:
    """A row per stage, for reading: GMACs and millions of parameters of both detectors."""
    columns: dict[str, list[str]] = {"Stage": [look.title for look in STAGE_LOOKS.values()]}
    rows = zip(("one", "two"), rows_of(params, result), result.parameters.tolist(), strict=True)
    for title, row, learned in rows:
        columns[f"GMAC, {title}"] = [digits(gmacs) if gmacs else "–" for gmacs in row.gmacs]
        columns[f"Parameters, {title}"] = [f"{millions:#.3g} M" if millions else "–" for millions in learned]
    return pd.DataFrame(columns)


def time_table(timings: Timings) -> pd.DataFrame:
    """Milliseconds by step, a column per detector; below them their sum and what it means."""
    columns = {
        "Step": [*(f"{look.title} (ms)" for look in STEP_LOOKS.values()), "Total (ms)", "Pictures / s", "GMAC / s"]
    }
    for timing in timings:
        steps = [f"{1000 * timing.seconds[step]:,.1f}" if timing.seconds[step] else "–" for step in STEP_LOOKS]
        rate = sum(timing.macs.values()) / 1e9 / timing.total
        total = [f"{1000 * timing.total:,.0f}", f"{1 / timing.total:.3g}", f"{rate:.3g}"]
        columns[DETECTORS[timing.name].title] = steps + total
    return pd.DataFrame(columns)


@lru_cache(maxsize=1)
def published() -> tuple[Point, ...]:
    """The detectors with the size and proposals they were made for, and the AP that torchvision states."""
    found = []
    for name, detector in DETECTORS.items():
        macs = stage_macs(name, side=detector.side, proposals=detector.proposals, classes=91)
        ap = get_model_weights(name).DEFAULT.meta["_metrics"]["COCO-val2017"]["box_map"]
        found.append(Point(detector.title, detector.two_stage, sum(macs.values()) / 1e9, ap))
    return tuple(found)


PRESETS = {
    "Same backbone": Preset(
        Params(),
        "Drag N: the second stage is the wedge on top, 14.4 GMAC at 1000 proposals. At 895 both cost the same.",
    ),
    "As published": Preset(
        Params(side=800),
        "At 800 px the two-stage detector is the cheaper one, 134 against 152 GMAC, and stays so up to 2195 proposals.",
    ),
    "Without anchors": Preset(
        Params(one="fcos_resnet50_fpn", side=800),
        "FCOS predicts one box per cell where RetinaNet has nine: 128 GMAC. The lines now meet at 570 proposals.",
    ),
    "300 proposals": Preset(
        Params(side=800, proposals=300),
        "With 300 proposals, as in the paper of 2015, the second stage of this detector is 3.5 % of the whole.",
    ),
    "Heavy box head": Preset(
        Params(one="retinanet_resnet50_fpn_v2", two="fasterrcnn_resnet50_fpn_v2", side=800),
        "Four convolutions per proposal, 0.129 GMAC in place of 0.014: the second stage is 46 %, and with 7 proposals "
        "it already costs more than RetinaNet v2.",
        failure=True,
    ),
    "Light against light": Preset(
        Params(one=YARDSTICK, two="fasterrcnn_mobilenet_v3_large_320_fpn", side=320, proposals=150),
        "With a small backbone the second stage is 75 % of the whole. No number of proposals makes it the cheaper one.",
        failure=True,
    ),
    "Light against heavy": Preset(
        Params(two="fasterrcnn_mobilenet_v3_large_fpn", side=800),
        "Here the two-stage detector is eight times cheaper: backbone and resolution decide, not the number of stages.",
    ),
    "1203 classes": Preset(
        Params(side=800, classes="1204"),
        "A dense head pays for every class in every cell: RetinaNet goes from 152 to 459 GMAC, Faster R-CNN "
        "from 134 to 140.",
        failure=True,
    ),
    "No proposals": Preset(
        Params(one=YARDSTICK, two="fasterrcnn_mobilenet_v3_large_fpn", side=800, proposals=0),
        "4.49 GMAC, the figure that torchvision publishes, is that of a picture without any proposal; with 1000 it is "
        "18.9.",
        failure=True,
    ),
    "Small picture": Preset(
        Params(side=224), "The first stage shrinks with the picture, the second does not: now it is 60 %."
    ),
}


CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets=PRESETS,
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: torch.cat([result.gmacs, result.parameters.sum(1, keepdim=True)], dim=1),
    against="torch's FlopCounterMode",
    tolerance=1e-9,
)
