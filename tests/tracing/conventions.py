"""The conventions of tracing: what mathematics cannot decide, and where the code says it."""

from typing import NamedTuple


class Convention(NamedTuple):
    """A convention.

    Attributes:
        name, reason: what it says, and why.
        where: the function that says it, below `idinit_jax.tracing`.
        rule, without: its words there, and what stands there without the convention.
    """

    name: str
    reason: str
    where: str
    rule: str
    without: str


CONVENTIONS = (
    Convention(
        "small numbers in a sum are guards",
        "with epsilons nothing is homogeneous",
        "facts.solve._Solver.is_guard",
        "abs(number) <= GUARD",
        "False",
    ),
)
