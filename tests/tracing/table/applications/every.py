"""All experiments, by the operation that they are of."""

from functools import cache

from applications.collectives import COLLECTIVES
from applications.contractions import CONTRACTIONS
from applications.draw import Draw, Make
from applications.edges import EDGES
from applications.entrywise import ENTRYWISE
from applications.linear_algebra import LINEAR_ALGEBRA
from applications.moves import MOVES
from applications.random import RANDOM
from applications.reductions import REDUCTIONS
from applications.scatter import SCATTER
from experiment import Experiment

EVERY: dict[str, list[Make]] = {
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


@cache
def experiments(operation: str) -> tuple[Experiment, ...]:
    """Made once, with sizes and numbers of their own for every setting."""
    return tuple(make(Draw(seed)) for seed, make in enumerate(EVERY[operation]))
