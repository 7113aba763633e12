"""The line that a check prints."""

from __future__ import annotations

from crystalc.backend import Agreement, Electrical
from crystalc.check import Comparison


def verdict(found: Comparison, agreement: Agreement, fixed: bool) -> str:
    """How the artefact fared, with what it is held to; ``fixed``: errors are integer steps."""
    if found.max_abs_error is None:
        return f"check   FAILED: {found.reason}"
    decisions = f"{found.decisions_equal}/{found.vectors}"
    if fixed:
        error = f"{found.max_abs_error:.0f} steps of difference (exact)"
    elif isinstance(agreement, Electrical):
        error = f"max error {found.max_abs_error:.1e}{_held(found, agreement)}"
        decisions += f" ({_promised(agreement)})"
    else:
        error = f"max error {found.max_abs_error:.1e} (bound {found.bound:.1e}, "
        error += f"worst {found.worst_share:.0%} of its own bound)"
    said = "OK" if found.ok else f"FAILED: {found.reason}"
    head = f"check   {found.vectors} vectors against the oracle: {error}"
    return f"{head}, decisions {decisions}: {said}"


def _held(found: Comparison, agreement: Electrical) -> str:
    """The error of a circuit as a share of the range, where it is held to that."""
    if agreement.absolute or not agreement.share or not found.bound:
        return f" (at most {found.bound:.0e} V)"
    share = percent((found.max_abs_error or 0.0) / found.bound * agreement.share)
    most = "nothing promised" if agreement.share >= 1 else f"at most {percent(agreement.share)}"
    return f", {share} of the outputs' range ({most})"


def _promised(agreement: Electrical) -> str:
    return f"{agreement.decisions:.1%} promised" if agreement.decisions else "nothing promised"


def percent(share: float) -> str:
    """A share in percent, however small: 0.66%, 5.7e-14%."""
    return f"{share * 100:.3g}%" if share >= 1 else f"{share * 100:.2g}%"
