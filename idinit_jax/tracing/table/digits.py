"""Axes that are split and merged, as the digits of a mixed-radix numeral."""

from collections.abc import Iterator
from itertools import pairwise

from idinit_jax.tracing.table.law import Atom, Dim, Move, Shape


def regroup(shape: Shape, out: Shape) -> Move | None:
    """The digits of the axes that every dimension of a reshaped array has.

    None where a dimension is no run of digits, as those of (2, 3) reshaped to (3, 2), and where
    there are no entries.
    """
    if 0 in shape:
        return None
    axes, dims = list(_spans(shape)), list(_spans(out))
    cuts = sorted({1}.union(outer for _, outer in [*axes, *dims]))
    if any(outer % inner for inner, outer in pairwise(cuts)):
        return None
    digits = []
    for inner, outer in pairwise(cuts):
        axis, (start, _) = next((a, s) for a, s in enumerate(axes) if s[0] <= inner < s[1])
        digits.append((inner, Atom(axis, inner // start, outer // inner)))
    return tuple(_within(span, digits) for span in dims)


def _spans(shape: Shape) -> Iterator[tuple[int, int]]:
    """For every axis what a step along it and what its whole length is worth."""
    spans, worth = [], 1
    for size in reversed(shape):
        spans.append((worth, worth * size))
        worth *= size
    return reversed(spans)


def _within(span: tuple[int, int], digits: list[tuple[int, Atom]]) -> Dim:
    """The digits of a dimension, the outermost first."""
    inner, outer = span
    return tuple(atom for worth, atom in reversed(digits) if inner <= worth < outer)
