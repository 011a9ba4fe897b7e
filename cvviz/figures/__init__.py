"""Drawing: tensors in, plotly figures or annotated pictures out. No Streamlit."""
