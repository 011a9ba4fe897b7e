"""Regression losses: how a residual is punished, and where a line goes when one point lies far off."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, cast

import pandas as pd
import plotly.graph_objects as go
import torch
import torch.nn.functional as F
from sklearn.linear_model import LinearRegression, QuantileRegressor
from torch import Tensor

from cvviz.concept import Concept, Preset
from cvviz.controls import Choice, Many, Points, Slider
from cvviz.figures.regression_losses import LOOKS, curves_figure, lines_scene
from cvviz.figures.scene import Scene
from cvviz.ops.regression_losses import Loss, fit_line, regression_loss, regression_slope

XY = tuple[float, float]
VIEWS = {"fit": "Best line", "descent": "Descent", "curves": "Curves"}
TITLES = {name: look.title for name, look in LOOKS.items()}
START = (1.2712345, 0.0)  # intercept and slope before the first step
LINE: tuple[XY, ...] = ((1, 1.6), (2, 2.1), (3, 3.2), (4, 3.4), (5, 4.6), (6, 4.9), (7, 6.1), (8, 6.4))
OUTLIER: tuple[XY, ...] = (*LINE, (9, 0.5))


@dataclass(frozen=True, slots=True)
class Params:
    """The losses, their parameters, the points, and one residual."""

    view: Annotated[str, Choice("View", VIEWS)] = "fit"
    losses: Annotated[tuple[str, ...], Many("Losses", TITLES)] = ("mse", "mae", "huber")
    beta: Annotated[
        float, Slider("Smooth L1: β", 0.05, 4, 0.05, help="Quadratic below β.", when=lambda p: "smooth_l1" in p.losses)
    ] = 1.0
    delta: Annotated[
        float, Slider("Huber: δ", 0.05, 4, 0.05, help="Quadratic below δ.", when=lambda p: "huber" in p.losses)
    ] = 1.0
    tau: Annotated[
        float, Slider("Quantile τ", 0.05, 0.95, 0.05, help="Share below.", when=lambda p: "quantile" in p.losses)
    ] = 0.5
    points: Annotated[
        tuple[XY, ...],
        Points(
            "Points",
            x=(0, 10),
            y=(0, 10),
            step=0.1,
            least=2,
            most=20,
            help="Drag them; double click adds one, Delete removes one.",
            when=lambda p: p.view != "curves",
        ),
    ] = OUTLIER
    steps: Annotated[int, Slider("Steps", 0, 100, 1, when=lambda p: p.view == "descent")] = 10
    rate: Annotated[float, Slider("Learning rate", 0.01, 0.3, 0.01, when=lambda p: p.view == "descent")] = 0.05
    r: Annotated[float, Slider("Residual r", -4, 4, 0.1, when=lambda p: p.view == "curves")] = 2.5


@dataclass(frozen=True, slots=True)
class Result:
    """Numbers of the current view.

    Args:
        checked: what the reference reproduces: least mean losses, lines after the steps, or values and slopes.
        lines: (L, 2) intercepts and slopes.
        without: (L, 2) the best lines without the farthest point; empty where there are only two points.
        outlier: index of the point farthest from the absolute loss's line, or -1 where all lie on it.
        grid, values, slopes: (G,), (L, G), (L, G), the curves.
        marked: (2, L) value and slope at the residual.
    """

    checked: Tensor
    lines: Tensor
    without: Tensor
    outlier: int
    grid: Tensor
    values: Tensor
    slopes: Tensor
    marked: Tensor


def compute(params: Params) -> Result:
    """Fit, descend, or tabulate."""
    names = cast(tuple[Loss, ...], params.losses)
    options = {"beta": params.beta, "delta": params.delta, "tau": params.tau}
    x, y = torch.tensor(params.points, dtype=torch.float64).unbind(dim=1)
    grid = torch.linspace(-4, 4, 161, dtype=torch.float64)
    values = torch.stack([regression_loss(grid, name, **options) for name in names])
    slopes = torch.stack([regression_slope(grid, name, **options) for name in names])
    r = torch.tensor(params.r, dtype=torch.float64)
    both = (regression_loss, regression_slope)
    marked = torch.stack([torch.stack([function(r, name, **options) for name in names]) for function in both])
    lines, without, outlier = torch.zeros(0, 2), torch.zeros(0, 2), -1
    checked = torch.cat([values[:, 7::20], slopes[:, 7::20]])  # none of them at a corner
    if params.view == "descent":
        lines = torch.stack([descend(x, y, name, options, params.steps, params.rate) for name in names])
        checked = lines
    if params.view == "fit":
        lines = torch.stack([fit_line(x, y, name, **options) for name in names])
        residuals = lines[:, :1] + lines[:, 1:] * x - y
        losses = [regression_loss(row, name, **options).mean() for name, row in zip(names, residuals, strict=True)]
        checked = torch.stack(losses)
        outlier = farthest(x, y)
        if outlier >= 0 and len(x) > 2:
            rest = torch.arange(len(x)) != outlier
            without = torch.stack([fit_line(x[rest], y[rest], name, **options) for name in names])
    return Result(checked, lines, without, outlier, grid, values, slopes, marked)


def farthest(x: Tensor, y: Tensor) -> int:
    """Index of the point farthest from the line of the absolute loss, or -1."""
    line = fit_line(x, y, "mae")
    distance = (line[0] + line[1] * x - y).abs()
    return int(distance.argmax()) if distance.max() > 1e-9 else -1


def descend(x: Tensor, y: Tensor, loss: Loss, options: dict[str, float], steps: int, rate: float) -> Tensor:
    """(2,) intercept and slope after gradient steps on the mean loss; x counts from 5, so that both move alike."""
    middle = x - 5
    height, slope = torch.tensor(START, dtype=torch.float64).unbind()
    for _ in range(steps):
        push = regression_slope(height + slope * middle - y, loss, **options)
        height, slope = height - rate * push.mean(), slope - rate * (push * middle).mean()
    return torch.stack([height - 5 * slope, slope])


def reference(
    view: str,
    losses: Sequence[str],
    beta: float,
    delta: float,
    tau: float,
    points: Sequence[Sequence[float]],
    steps: int,
    rate: float,
) -> Tensor:
    """The same by torch's losses: minima by scikit-learn and L-BFGS, steps by torch.optim.SGD, slopes by autograd."""
    by_name: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "mse": F.mse_loss,
        "mae": F.l1_loss,
        "smooth_l1": lambda a, b: F.smooth_l1_loss(a, b, beta=beta),
        "huber": lambda a, b: F.huber_loss(a, b, delta=delta),
        "log_cosh": lambda a, b: torch.logaddexp(a - b, b - a).mean() - torch.tensor(2.0).double().log(),
        "quantile": lambda a, b: torch.maximum(tau * (b - a), (tau - 1) * (b - a)).mean(),
    }
    x, y = torch.tensor(points, dtype=torch.float64).unbind(dim=1)
    if view == "curves":
        r = torch.linspace(-4, 4, 161, dtype=torch.float64)[7::20].requires_grad_()
        zero = torch.zeros((), dtype=torch.float64)
        values = [torch.stack([by_name[name](item, zero) for item in r]) for name in losses]
        slopes = [torch.autograd.grad(row.sum(), r)[0] for row in values]
        return torch.stack(values + slopes).detach()
    if view == "descent":
        lines = []
        for name in losses:
            line = torch.tensor([1.2712345, 0.0], dtype=torch.float64, requires_grad=True)
            optimizer = torch.optim.SGD([line], lr=rate)
            for _ in range(steps):
                optimizer.zero_grad()
                torch.autograd.backward(by_name[name](line[0] + line[1] * (x - 5), y))
                optimizer.step()
            lines.append(torch.stack([line[0] - 5 * line[1], line[1]]).detach())
        return torch.stack(lines)
    return torch.stack([least_loss(x, y, name, by_name[name], tau) for name in losses])


def least_loss(x: Tensor, y: Tensor, name: str, loss: Callable[[Tensor, Tensor], Tensor], tau: float) -> Tensor:
    """Least mean loss of a line."""
    column = x[:, None].numpy()
    if name in ("mae", "quantile"):
        model = QuantileRegressor(quantile=0.5 if name == "mae" else tau, alpha=0)
        return loss(torch.from_numpy(model.fit(column, y.numpy()).predict(column)), y)
    model = LinearRegression().fit(column, y.numpy())
    if name == "mse":
        return loss(torch.from_numpy(model.predict(column)), y)
    line = torch.tensor([float(model.predict([[5.0]])[0]), float(model.coef_[0])], dtype=torch.float64)
    return least_by_descent(lambda line: loss(line[0] + line[1] * (x - 5), y), line.requires_grad_())


def least_by_descent(loss: Callable[[Tensor], Tensor], start: Tensor) -> Tensor:
    """Least value of a smooth loss, found from ``start``."""
    optimizer = torch.optim.LBFGS([start], max_iter=300, tolerance_change=1e-15, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss(start)
        torch.autograd.backward(value)
        return value

    optimizer.step(closure)  # type: ignore[no-untyped-call]
    return loss(start).detach()


def stage(params: Params, result: Result) -> Scene | go.Figure:
    """Points with lines, or curves."""
    if params.view == "curves":
        return curves_figure(params.losses, result.grid, result.values, result.slopes, params.r, result.marked)
    if params.view == "descent":
        caption = f"After {params.steps} steps of gradient descent; the thin line is the start"
        start = (START[0] - 5 * START[1], START[1])
        return lines_scene(params.losses, result.lines, params.points, outlier=-1, caption=caption, start=start)
    caption = "The best line under each loss. Drag a point; double click adds one, Delete removes one"
    return lines_scene(params.losses, result.lines, params.points, outlier=result.outlier, caption=caption)


def describe(params: Params, result: Result) -> str:
    """What the stage shows now."""
    if params.view == "curves":
        losses, slopes = result.marked.tolist()
        parts = [
            f"{TITLES[name]} {loss:.3g} with slope {slope:.3g}"
            for name, loss, slope in zip(params.losses, losses, slopes, strict=True)
        ]
        return f"Losses over the residual, slopes below. At a residual of {params.r:g}: {', '.join(parts)}."
    parts = [
        f"{TITLES[name]} y = {intercept:.3g} {'+' if slope >= 0 else '−'} {abs(slope):.3g} x"
        for name, (intercept, slope) in zip(params.losses, result.lines.tolist(), strict=True)
    ]
    done = f"after {params.steps} steps" if params.view == "descent" else "fitted"
    return f"{len(params.points)} points and {len(parts)} lines {done}: {'; '.join(parts)}."


def formula(params: Params, result: Result) -> str:
    """The losses with the example's numbers, or the mean loss and slope of each line."""
    lines = []
    if params.view == "curves":
        for name, (loss, slope) in zip(params.losses, result.marked.T.tolist(), strict=True):
            lines.append(
                rf"\text{{{TITLES[name]}}} &= {LOOKS[name].terms} = {loss:.4g},\quad \partial/\partial r = {slope:.4g}"
            )
        if {"huber", "smooth_l1"} <= set(params.losses):
            same, d = (
                float(regression_loss(torch.tensor(params.r), "smooth_l1", beta=params.delta)),
                f"{params.delta:g}",
            )
            lines.append(rf"\text{{Huber}}_{{{d}}} &= {d}\cdot\text{{Smooth L1}}_{{\beta={d}}} = {d}\cdot{same:.4g}")
    else:
        for name, (intercept, slope) in zip(params.losses, result.lines.tolist(), strict=True):
            sign = "+" if slope >= 0 else "-"
            lines.append(rf"\text{{{TITLES[name]}}}:\; \hat y &= {intercept:.3f} {sign} {abs(slope):.3f}\,x")
    return "$$\n\\begin{aligned}\n" + " \\\\\n".join(lines) + "\n\\end{aligned}\n$$"


def table(params: Params, result: Result) -> pd.DataFrame:
    """Per loss: the line, the slope at the farthest point, and how far that point moves the line; or the curves."""
    titles = [TITLES[name] for name in params.losses]
    if params.view == "curves":
        columns = {"residual": result.grid}
        columns |= dict(zip(titles, result.values, strict=True))
        columns |= {f"slope of {title}": row for title, row in zip(titles, result.slopes, strict=True)}
        return pd.DataFrame({name: column.numpy() for name, column in columns.items()})
    rows = pd.DataFrame({"Loss": titles, "Intercept": result.lines[:, 0].numpy(), "Slope": result.lines[:, 1].numpy()})
    if len(result.without):
        x, y = params.points[result.outlier]
        residuals = result.lines @ torch.tensor([1.0, x], dtype=torch.float64) - y
        options = {"beta": params.beta, "delta": params.delta, "tau": params.tau}
        names = cast(tuple[Loss, ...], params.losses)
        pulls = [float(regression_slope(r, name, **options)) for r, name in zip(residuals, names, strict=True)]
        rows["Slope ∂L/∂r there"] = pulls
        moved = (result.lines - result.without) @ torch.tensor([1.0, x], dtype=torch.float64)
        rows["Moves the line there by"] = moved.numpy()
        rows["Slope without it"] = result.without[:, 1].numpy()
    return rows


ALL = tuple(TITLES)
CONCEPT = Concept(
    params=Params,
    compute=compute,
    stage=stage,
    describe=describe,
    presets={
        "One outlier": Preset(
            Params(),
            "Drag the vermillion point up and down: the square loss follows, the absolute loss stays with the eight.",
            failure=True,
        ),
        "No outlier": Preset(
            Params(points=LINE),
            "No error reaches δ, so Huber's line is that of the squares, slope 0.713; the absolute loss's has 0.686. "
            "Such noise favours the squares.",
        ),
        "An outlier in the middle": Preset(
            Params(points=(*LINE, (4.5, 9.8))),
            "In the middle it can lift a line but hardly turn it: look at the slopes, then drag it to the side.",
        ),
        "Leverage beats the absolute loss": Preset(
            Params(
                points=((1, 2.0), (1.4, 2.3), (1.8, 2.2), (2.2, 2.6), (2.6, 2.5), (10, 0.3)),
                losses=("mse", "mae", "huber"),
            ),
            "Far out in x one point turns every line, the absolute loss's too: it is not even the farthest then.",
            failure=True,
        ),
        "Huber between the two": Preset(
            Params(losses=("mse", "mae", "huber"), delta=0.05),
            "Drag δ: at 0.05 Huber's line lies on the absolute loss's, at 4 close to that of the squares.",
        ),
        "Quantiles": Preset(
            Params(
                losses=("mae", "quantile"),
                tau=0.9,
                points=(
                    (0.5, 1),
                    (1, 0.9),
                    (1.5, 2.1),
                    (2.5, 1.4),
                    (3, 3.4),
                    (3.5, 2.3),
                    (4.5, 4.6),
                    (5, 2.2),
                    (5.5, 3.9),
                    (6.5, 6.3),
                    (7, 3.1),
                    (7.5, 5),
                    (8.5, 8.4),
                    (9, 5.6),
                    (9.5, 3.8),
                ),
            ),
            "At τ = 0.9 the line runs along the top: being too low costs nine times as much as being too high.",
        ),
        "Same rate, different steps": Preset(
            Params(view="descent", losses=("mse", "mae", "huber"), steps=10),
            "Play the steps: far away the square loss runs, the absolute one walks at one pace whatever the distance.",
        ),
        "The squares diverge": Preset(
            Params(view="descent", losses=("mse", "mae"), steps=12, rate=0.17),
            "At a rate of 0.17 the square loss overshoots further with each step; the absolute loss cannot.",
            failure=True,
        ),
        "The absolute loss never rests": Preset(
            Params(view="descent", losses=("mae", "smooth_l1"), steps=100, rate=0.3, points=LINE),
            "Its slope is as large next to the minimum as far from it: at a fixed rate the line jumps to and fro.",
            failure=True,
        ),
        "Curves and slopes": Preset(
            Params(view="curves", losses=("mse", "mae", "smooth_l1", "huber"), delta=2.0),
            "Below: a slope that grows, one that is a step, and two that grow and then stop.",
        ),
        "Equal at β = δ = 1": Preset(
            Params(view="curves", losses=("smooth_l1", "huber"), r=0.6),
            "One curve. Move β and δ together: Huber is δ times Smooth L1, so its straight part has slope δ, not 1.",
        ),
    },
    table=table,
    formula=formula,
    reference=reference,
    checked=lambda result: result.checked,
    against="torch and scikit-learn",
    tolerance=1e-6,
)
