"""Mixup and CutMix: two pictures, one λ, two labels."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.regularization.mixup_cutmix import CONCEPT, Params, Result
from cvviz.figures.mixup_cutmix import draws_figure, loss_figure


def view(params: Params, result: Result) -> None:
    """The numbers of both mixtures, where λ came from, and the loss at every prediction."""
    st.table(CONCEPT.table(params, result).set_index("method").style.format("{:.3f}"))
    if params.source == "drawn":
        alt = f"Histogram of Beta({params.alpha:g}, {params.alpha:g}); this step drew λ = {result.lam:.3f}."
        ui.chart(draws_figure(params.alpha, result.lam), key="mixup-cutmix/draws", alt=alt)
        st.caption("Moving α keeps the quantile that the seed has drawn, so λ glides instead of jumping.")
    if st.toggle("Loss at every prediction", key="mixup-cutmix/curves"):
        mixtures = {"Mixup": result.mixup, "CutMix": result.cutmix}
        weights = [("hard label", 1.0), *((name, mixed.label[0].item()) for name, mixed in mixtures.items())]
        alt = "Cross-entropy against the predicted probability of the first class; each curve is lowest at its label."
        ui.chart(loss_figure(params.p, weights), key="mixup-cutmix/losses", alt=alt)
    st.caption(
        "The first picture is reduced to at most 256 px a side; the second is centre-cropped to its shape and resized "
        "with antialiasing. Both are float: a blend in whole numbers (uint8) would have to round."
    )


ui.explorer(CONCEPT, view)
