"""Below the stage: theory, interview questions, claims with live verdicts, references. Only the open tab is run."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import streamlit as st

from cvviz.catalogue import Entry
from cvviz.concept import Claim, Evidence
from cvviz.ui.state import View

log = logging.getLogger(__name__)

MARKS = {
    "true": (":material/check_circle:", "green"),
    "true with conditions": (":material/rule:", "blue"),
    "misleading": (":material/warning:", "orange"),
    "wrong": (":material/cancel:", "red"),
    "omission": (":material/visibility_off:", "violet"),
}


@st.fragment
def draw_reading(entry: Entry, view: View) -> None:
    """The words of a concept."""
    sentences = entry.claims()
    names = ["Theory", f"Questions ({len(entry.questions)})", f"Claims ({len(sentences)})", "References"]
    theory, questions, claims, references = st.tabs(names, key=f"{entry.slug}/reading", on_change="rerun")
    if theory.open:
        theory.markdown(entry.theory)
    if questions.open:
        with questions:
            draw_questions(entry)
    if claims.open:
        with claims:
            draw_claims(sentences, view)
    if references.open:
        with references:
            draw_references(entry)


def draw_questions(entry: Entry) -> None:
    """Questions; each answer hidden until it is asked for."""
    st.caption("Answer aloud first, then compare.")
    for question in entry.questions:
        with st.expander(question.question):
            st.markdown(question.answer)


def draw_claims(claims: Sequence[Claim], view: View) -> None:
    """Sentences from interview notes, with our verdict and the measurement that bears it out, made now."""
    st.caption("Sentences met in interview notes. Each verdict is measured on this machine as you open this tab.")
    concept = view.concept
    for number, claim in enumerate(claims):
        with st.container(border=True):
            icon, color = MARKS[claim.verdict]
            st.markdown(f"“{claim.text}”")
            st.badge(claim.verdict, icon=icon, color=color)  # type: ignore[arg-type]
            st.markdown(claim.correction)
            evidence = measure(concept.slug, number, claim)
            if evidence is None:
                st.caption(":material/error: The measurement could not be made; the log says why.")
            elif evidence.confirms:
                st.caption(f":material/straighten: Measured: {evidence.text}")
            else:
                st.error(f"The measurement does not bear this verdict out: {evidence.text}", icon=":material/error:")
            if claim.preset:
                show = concept.presets[claim.preset].params
                st.button("Show me", key=f"{concept.slug}/claim-{number}", on_click=view.show, args=(show,))


@st.cache_data(max_entries=512, show_spinner="Measuring")
def measure(slug: str, number: int, _claim: Claim) -> Evidence | None:
    """Outcome of a claim's check, once per process; None if it raised."""
    try:
        return _claim.check()
    except Exception:
        log.exception("claim %d of %s", number, slug)
        return None


def draw_references(entry: Entry) -> None:
    """Where to read on, and the concepts that belong beside this one."""
    st.markdown("\n".join(f"- [{source.text}]({source.url})" for source in entry.references))
    pages = st.session_state["pages"]
    related = [slug for slug in entry.related if slug in pages]
    if related:
        st.markdown("**Related concepts**")
        for slug in related:
            st.page_link(pages[slug])
