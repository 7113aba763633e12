"""Torch modules of a crystal: the geometric field and the classifier around it."""

from crystalc.nn.classifier import CrystalClassifier
from crystalc.nn.field import FieldShape, GeometricField

__all__ = ["CrystalClassifier", "FieldShape", "GeometricField"]
