"""Constant products: the network of adders is the matrix, and it is small."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from crystalc_verilog.cmvm import Network, evaluate, share, signed_digits

MATRICES = st.tuples(st.integers(1, 9), st.integers(1, 7)).flatmap(
    lambda shape: arrays(np.int64, shape, elements=st.integers(-300, 300))
)


def network(matrix: Any) -> Network:
    """The network of ``matrix`` [inputs, outputs]."""
    rows = [{k: int(w) for k, w in enumerate(column) if w} for column in matrix.T]
    return share(rows, [31] * len(matrix))


def kernel(made: Network) -> Any:
    """The matrix that a network computes, by its answers to unit vectors."""
    return np.array([evaluate(made, list(row)) for row in np.eye(made.inputs, dtype=int).tolist()])


@given(st.integers(-(1 << 40), 1 << 40))
def test_signed_digits_are_the_number_and_never_adjacent(value: int) -> None:
    digits = signed_digits(value)
    assert sum((-1 if negative else 1) << shift for shift, negative in digits) == value
    shifts = [shift for shift, _ in digits]
    assert all(b - a > 1 for a, b in pairwise(shifts))


@settings(deadline=None)
@given(MATRICES)
def test_the_network_is_the_matrix(matrix: Any) -> None:
    assert np.array_equal(kernel(network(matrix)), matrix)


@settings(deadline=None)
@given(MATRICES)
def test_sharing_never_adds_adders(matrix: Any) -> None:
    digits = [sum(len(signed_digits(int(w))) for w in column) for column in matrix.T]
    assert network(matrix).adders <= sum(max(0, n - 1) for n in digits)


def test_equal_columns_cost_once() -> None:
    column = np.array([[3], [5], [-7]])
    one = network(column)
    assert network(np.repeat(column, 6, axis=1)).adders == one.adders


@pytest.mark.parametrize("seed", range(2))
def test_an_int8_layer_halves_its_adders(seed: int) -> None:
    """64 x 32 weights as trained ones are spread; the peers reach 0.47 adders a digit."""
    weights = np.random.default_rng(seed).normal(0, 26, (64, 32))
    matrix = np.clip(np.round(weights), -127, 127).astype(int)
    digits = sum(len(signed_digits(int(w))) for w in matrix.flat)
    made = network(matrix)
    assert made.adders < 0.49 * digits
    assert np.array_equal(kernel(made), matrix)
