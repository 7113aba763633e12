"""Pictures of crystals."""

from crystalc.viz.neurons import neurons_picture

__all__ = ["neurons_picture"]
