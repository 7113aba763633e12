"""What a checkpoint may hold at most. Everything here is said in ``docs/checkpoints.md``."""

from __future__ import annotations

FILE_BYTES = 1 << 30
HEADER_BYTES = 1 << 20  # of a .safetensors file
PICKLE_BYTES = 1 << 20  # of the data.pkl in a .pt file: structure and plain values, no tensor data
ENTRIES = 4096  # tensors in a file, records in a zip
METADATA_CHARS = 1 << 16  # as JSON

NEURONS = 1 << 16
WIDTH = 1 << 16  # inputs, dim, outputs of a classifier
SAMPLES = 512  # calibration rows

VOCABULARY = 1 << 20  # logits of a language model
TOKENS = 1 << 21  # tokens, with those that only merges need
TOKEN_BYTES = 1 << 10
DIM = 1 << 14
CONTEXT = 1 << 16
BLOCKS = 256

MAGNITUDE = 2.0**40  # |parameter|: squares, sums and 1/T stay far inside float32
TIMEOUT_S = 60.0  # of the child that runs torch, plus a second for each 16 MiB


def timeout_for(size: int) -> float:
    """Seconds that reading a file of ``size`` bytes may take."""
    return TIMEOUT_S + size / (16 << 20)
