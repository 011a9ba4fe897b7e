"""`python -m tests.benchmarks`: how the app feels, beside a bare Streamlit page measured in the same run."""
