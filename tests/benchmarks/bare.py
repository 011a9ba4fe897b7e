"""The smallest Streamlit page that has an interaction: what the app is measured against."""

import streamlit as st

value = st.slider("Value", 0, 100, 50)
st.text(f"value {value}")
