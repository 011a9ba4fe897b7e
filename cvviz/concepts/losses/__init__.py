"""Losses and activations."""
