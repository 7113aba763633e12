"""Passes: one file, one pass. Valid graph in, valid graph out; only ``quantize*`` change values."""
