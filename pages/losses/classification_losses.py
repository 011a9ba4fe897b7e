"""Classification losses: the example's numbers, and what easy negatives make of the sum."""

import streamlit as st

from cvviz import ui
from cvviz.concepts.losses.classification_losses import CONCEPT, TITLES, Logits, Params, Result
from cvviz.figures.classification_losses import BINARY


def view(params: Params, result: Result) -> None:
    """Numbers of the example, and the balance of a detector's loss where the focal loss is shown."""
    if isinstance(result, Logits):
        rows = CONCEPT.table(params, result).set_index("Class")
        rows.loc["Sum"] = rows.sum().where(rows.columns.str.contains("Softmax|push"))
        st.table(rows.map(lambda value: "" if value != value else f"{round(value, 3) + 0.0:.3f}".replace("-", "−")))
        st.caption("Pushes are −∂L/∂z. Those of a softmax sum to 0: what one logit gains the others lose.")
        return
    losses, slopes = result.example.tolist()
    plain = {name: -result.logs[2 if name in BINARY else 0].item() for name in params.losses}
    st.table(
        {
            "Loss": [TITLES[name] for name in params.losses],
            "Value (nats)": [f"{loss:.4g}" for loss in losses],
            "Slope ∂L/∂z": [f"{slope:.4g}" for slope in slopes],
            "Value / −ln p": [
                f"{loss / plain[name]:.3g}" if plain[name] > 0 else "–"
                for name, loss in zip(params.losses, losses, strict=True)
            ],
        }
    )
    if "focal" in params.losses:
        bce, focal = result.share.tolist()
        st.markdown("**A detector's loss: 100,000 easy negatives (p = 0.99 for their label), 10 hard positives (0.3)**")
        left, right = st.columns(2)
        left.metric("Share of the negatives, BCE", f"{bce:.1%}")
        right.metric("Share of the negatives, focal", f"{focal:.1%}")


ui.explorer(CONCEPT, view)
