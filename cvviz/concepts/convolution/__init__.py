"""Convolution: what a layer computes, what it costs and how far it sees."""
