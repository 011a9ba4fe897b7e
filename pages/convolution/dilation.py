"""Dilated convolution."""

from cvviz import ui
from cvviz.concepts.convolution.dilation import CONCEPT

ui.explorer(CONCEPT)
