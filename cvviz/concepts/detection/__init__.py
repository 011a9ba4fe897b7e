"""Detection: boxes, their overlap, and how detectors are judged."""
