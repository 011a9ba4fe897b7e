from cvviz import ui
from cvviz.concepts.practice.demo import CONCEPT

ui.explorer(CONCEPT)
