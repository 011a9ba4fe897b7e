from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import pandas as pd
import torch

from cvviz.concept import *
from cvviz.controls import *
from cvviz.data.images import Picture, sample
from cvviz.figures.scene import *
from cvviz.figures.theme import *


@dataclass(frozen=True, slots=True)
class Params:
    mode: Annotated[str, Choice("Stage", ("chart", "scene"))] = "chart"
    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1)] = 2.0
    lr: Annotated[float, Slider("Rate", 1e-4, 1.0, 0.1, log=True)] = 0.01
    n: Annotated[int, Slider("Classes", 2, 10, 1)] = 3
    flag: Annotated[bool, Toggle("Log scale")] = False
    image: Annotated[Picture, Image("Picture")] = sample("astronaut")
    boxes: Annotated[tuple, Boxes("Boxes", names=("Target", "Prediction"), width=480, height=360)] = ((40., 40., 200., 200.), (120., 100., 300., 260.))
    stack: Annotated[tuple, LayerStack("Layers")] = (Layer(3), Layer(3, 2, 1))

@dataclass(frozen=True)
class Result:
    y: torch.Tensor

def compute(p): return Result(torch.linspace(0.01, 1, 100).pow(p.gamma) * p.n)
def reference(gamma, n): return n * torch.linspace(0.01, 1, 100) ** gamma
def stage(p, r):
    if p.mode == "chart":
        f = new_figure(x_title="p", y_title="loss (nats)")
        x = np.linspace(0.01, 1, 100, dtype="float32")
        for i in range(3):
            f.add_scatter(x=x, y=(r.y.numpy() * (i + 1)).astype("float32"), name=f"l{i}", line={"color": COLORS[i], "dash": DASHES[i]})
        f.update_yaxes(range=[0, 10])
        return f
    from torchvision.transforms.v2.functional import resize
    px = resize(p.image.pixels, [360, 480], antialias=True)
    return Scene(pixels=px, caption="Drag a box", shapes=(Box(xyxy=(100, 100, 150, 150), label="face <0.9>", color=VERMILLION, fill=.2), Path(points=[(10, 10), (90, 60)], arrow=True, color=GREEN), Text(x=200, y=300, text="Hello", plate=True)),
        handles=Handles(field="boxes", boxes=p.boxes, names=("Target", "Prediction"), colors=(GREEN, VERMILLION))), Scene(pixels=colorize(torch.randn(9, 12, generator=torch.Generator().manual_seed(int(p.gamma*10))), scale="signed"), exact=True, caption="map", max_width=320)
def describe(p, r): return f"A demo curve with gamma {p.gamma:g} and {p.n} classes."
def formula(p, r): return rf"$$ y = {p.n} \cdot p^{{{p.gamma:g}}} $$"
def table(p, r): return pd.DataFrame({"y": r.y.numpy()})
CONCEPT = Concept(params=Params, compute=compute, stage=stage, describe=describe, table=table, formula=formula, reference=reference, checked=lambda r: r.y,
  presets={"A": Preset(Params(), "Look."), "B": Preset(Params(gamma=5.0), "Look there.", failure=True), "C": Preset(Params(mode="scene"), "Boxes."), "D": Preset(Params(lr=.1), "x.")},
  claims=(Claim("Water is dry", "wrong", "It is wet.", lambda: Evidence(True, "1 of 1"), "B"),))
