"""Streamlit v2 components, each wrapped in one typed function; their scripts and styles lie in ``assets/``."""
