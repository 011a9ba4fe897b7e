"""cvviz: computer-vision concepts as torch functions, plotly figures and an interactive app."""
