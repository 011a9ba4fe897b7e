"""IoU and its relatives: numbers beside the picture."""

import pandas as pd
import streamlit as st

from cvviz import ui
from cvviz.concepts.detection.iou import CONCEPT, Params, Result


def view(params: Params, result: Result) -> None:
    covered, inside = result.covered
    other = "x2 − x1" if params.inclusive else "x2 − x1 + 1"
    st.markdown(
        f"The prediction covers {covered:.0%} of the target, and {inside:.0%} of the prediction lies inside it. "
        f"With widths of {other}, IoU would be {result.other_iou:.3f}."
    )
    numbers = CONCEPT.table(params, result)
    slopes = numbers.iloc[:, 3:].map(lambda slope: f"{1000 * slope:+.2f}".replace("-", "−") if slope else "0")
    slopes.columns = pd.Index([f"∂loss/∂{name}" for name in ("x1", "y1", "x2", "y2")])
    values = numbers[["value", "loss"]].map(lambda value: f"{value:.3f}".replace("-", "−"))
    values.columns = pd.Index(["Value", "Loss"])
    st.table(values.join(slopes).set_index(numbers["measure"].rename("Measure")))
    st.caption(
        "Slopes of each loss along the prediction's edges, 10⁻³ per pixel. An arrow points against its slope and is "
        "longer where that is steeper. A whole row of zeros is no gradient: descent has nothing to follow."
    )


ui.explorer(CONCEPT, view)
