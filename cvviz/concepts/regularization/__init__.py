"""Concepts of the section Regularization."""
