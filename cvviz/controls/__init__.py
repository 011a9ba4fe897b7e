"""What a parameter is: its label, range and text form. How it is drawn is the business of ``cvviz.ui``.

A concept annotates the fields of its ``Params`` with these::

    gamma: Annotated[float, Slider("Focusing γ", 0, 5, 0.1)] = 2.0

Every control turns a value into text for the URL (``encode``) and back (``decode``, which raises ValueError with a
sentence for the user), names the values that the tests must try (``limits``), and gives the plain Python or torch
value that a concept's ``reference`` receives (``plain``).
"""

from cvviz.controls.base import Choice, Control, Many, Seed, Slider, Toggle, shorten
from cvviz.controls.brought import OWN, File, Image
from cvviz.controls.painted import Mask, picture
from cvviz.controls.typed import XYXY, Boxes, Cell, Heights, Ints, LayerStack, Matrix, Points, Rows, layer_text

__all__ = [
    "OWN",
    "XYXY",
    "Boxes",
    "Cell",
    "Choice",
    "Control",
    "File",
    "Heights",
    "Image",
    "Ints",
    "LayerStack",
    "Many",
    "Mask",
    "Matrix",
    "Points",
    "Rows",
    "Seed",
    "Slider",
    "Toggle",
    "layer_text",
    "picture",
    "shorten",
]
