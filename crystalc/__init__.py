"""crystalc: trained crystal networks, frozen into things that run anywhere."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("crystalc")
except PackageNotFoundError:  # a checkout on the path that was never installed
    __version__ = "0.0.0+checkout"
