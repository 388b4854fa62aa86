"""Edges of loops and conditionals: what a turn or a branch sees, and what they leave."""

from applications.collectives import COLLECTIVES
from applications.draw import Draw, Make
from experiment import Experiment


def _one(operation: str, which: int, count: int) -> Make:
    """The operand that is taken."""

    def make(draw: Draw) -> Experiment:
        shape = draw.sizes(2)
        values = [draw.normal(*shape) for _ in range(count)]
        return Experiment(operation, lambda operands: [operands[which]], values, {})

    return make


def _turn(which: int) -> Make:
    return lambda draw: Experiment(
        "layer_slice", lambda operands: [operands[0][which]], [draw.normal(3, 2, 4)], {}
    )


def _turns(draw: Draw) -> Experiment:
    """Of every turn the array that it leaves, one after another."""
    arrays = draw.normal(3, 2, 4)
    return Experiment("layer_stack", lambda operands: operands, [arrays], {}, (1, 0))


EDGES: dict[str, list[Make]] = {
    "carry": [_one("carry", which, 2) for which in range(2)],
    "custom": [_one("custom", 0, 2)],
    "join": [_one("join", which, 3) for which in range(3)],
    "layer_slice": [_turn(0), _turn(2)],
    "layer_stack": [_turns],
    "reshard": COLLECTIVES["reshard"],
}
