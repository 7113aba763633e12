"""Tables of hardware, for ``benchmarks.tables``."""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.table_text import markdown

Result = dict[str, Any]

NETWORKS = {
    "crystal-4": "crystal, 4 points",
    "crystal-8": "crystal, 8 points",
    "crystal": "crystal, 32 points",
    "levers": "crystal, 24 grid points, 4 bits",
    "mlp": "MLP 64-32-10, 6 bits",
}


def parallel(result: Result) -> str:
    """LUTs of one network by crystalc and its peers."""
    rows = [r for r in result["rows"] if r["yosys"] == "pyosys"]
    rows.sort(key=lambda r: list(NETWORKS).index(r["network"]))
    body = [
        [
            NETWORKS[r["network"]],
            f"**{r['tool']}**" if r["tool"].startswith("crystalc") else r["tool"],
            f"{r['LUT']:,}",
            f"{r['CARRY']:,}",
            f"{r['adders']:,}",
            f"{r['levels']}",
            f"{r['accuracy']:.1%}",
        ]
        for r in rows
    ]
    engines = sorted({r["engine"] for r in rows})
    head = ("digits", "compiler", "LUT", "CARRY4", "adders", "in a row", "test accuracy")
    return markdown(head, body) + (
        f"\nEach is equal to the oracle on the test set; {', '.join(engines)}, xcup, no DSPs.\n"
    )


def levers(result: Result) -> str:
    """Adders and accuracy of smaller crystals."""
    names = [k for k in result["rows"][0] if k != "seed"]
    plain = float(np.mean([r[names[0]][1] for r in result["rows"]]))
    rows = []
    for name in names:
        accuracy, bits = np.mean([r[name] for r in result["rows"]], axis=0)
        rows.append([name, f"{accuracy:.2%}", f"{bits:,.0f}", f"{plain / bits:.2f}x fewer"])
    head = (f"digits, {len(result['rows'])} seeds", "test accuracy", "adder bits", "than plain")
    return markdown(head, rows)


def folded(result: Result) -> str:
    """Folded designs, and plain ones of the same integers."""
    rows = [
        [
            f"{r['model']}, {r['lanes']}, {r['design'].replace('crystalc', '**crystalc**')}",
            *(f"{r[k]:,}" for k in ("lut", "dsp", "ramb36", "ramb18", "clocks")),
            f"{r['lut'] * r['clocks']:,}",
        ]
        for r in result["rows"]
    ]
    blocks = ("RAMB36", "RAMB18")
    head = ("64-32-10, lanes", "LUT", "DSP", *blocks, "clocks", "LUT x clocks")
    return markdown(head, rows)


def circuits(result: Result) -> str:
    """Circuits in ngspice, level by level."""
    rows = [
        [
            f"{name}, {r['model']}",
            f"{r['max_error_share']:.1e}" if r["max_error_share"] < 1e-6 else percent(r),
            f"{r['decisions_equal']} of {r['vectors']}",
            f"{r['vectors_per_second']:,.0f}",
            f"{r['settling']['max_s'] * 1e6:.1f} us" if r["settling"] else "",
            f"{r['power']['total_w']:.2g} W" if r["power"] else "",
        ]
        for level in ("behavioral", "crossbar", "macro")
        for name, r in result["rows"].items()
        if r.get("level") == level
    ]
    drawn = [r for r in result["rows"].values() if "trials" in r]
    head = ("circuit", "largest error", "decisions", "vectors/s", "settling", "power")
    return "\n".join([markdown(head, rows), markdown(TOLERANCES, map(_drawn, drawn))])


TOLERANCES = ("tolerances drawn", "trials", "decisions equal, mean", "p5", "seconds")


def percent(row: Result) -> str:
    """The largest error as a share of the outputs' range."""
    return f"{row['max_error_share']:.2%}"


def _drawn(r: Result) -> list[str]:
    spread = f"R {r['sigma_r']:.0%}, Vos {r['sigma_vos'] * 1e3:.1f} mV"
    found = r["rows"][0]["agreement"]
    return [
        f"{r['circuit']}, {spread}",
        f"{r['trials']} x {r['vectors']}",
        f"{found['mean']:.1%}",
        f"{found['p5']:.1%}",
        f"{r['seconds']:.1f}",
    ]
