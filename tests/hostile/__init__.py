"""Inputs made to hurt: pickles that call functions, damaged files, names that break out."""
