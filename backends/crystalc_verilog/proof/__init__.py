"""Proof that emitted Verilog computes what its fixed graph means, for all inputs.

Sums are compared by exact integer algebra, every cell and every function by SAT (ABC).
"""
