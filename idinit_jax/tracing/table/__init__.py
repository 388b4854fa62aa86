"""The table of primitives: one row each, which states theorems about it."""

from collections.abc import Mapping

from idinit_jax.tracing.table.collectives import COLLECTIVES
from idinit_jax.tracing.table.contractions import CONTRACTIONS
from idinit_jax.tracing.table.edges import EDGES
from idinit_jax.tracing.table.entrywise import ENTRYWISE
from idinit_jax.tracing.table.law import Applied, Law, Row
from idinit_jax.tracing.table.linear_algebra import LINEAR_ALGEBRA
from idinit_jax.tracing.table.moves import MOVES
from idinit_jax.tracing.table.outside import PROGRAMS, UNKNOWN
from idinit_jax.tracing.table.random import RANDOM
from idinit_jax.tracing.table.reductions import REDUCTIONS
from idinit_jax.tracing.table.scatter import SCATTER

__all__ = ["PROGRAMS", "TABLE", "UNKNOWN", "law_of"]

TABLE: Mapping[str, Row] = {
    **ENTRYWISE,
    **MOVES,
    **SCATTER,
    **CONTRACTIONS,
    **REDUCTIONS,
    **LINEAR_ALGEBRA,
    **COLLECTIVES,
    **RANDOM,
    **EDGES,
}


def law_of(operation: str, applied: Applied) -> Law | None:
    """What holds for an application of a primitive; None: it has no row, anything may hold."""
    row = TABLE.get(operation)
    return None if row is None else row(applied)
