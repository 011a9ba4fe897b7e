"""Torch-only building blocks: every number of cvviz comes from here."""
