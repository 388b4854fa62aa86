"""Which factors of a product carry the signal, and which only let it through."""

from idinit_jax.tracing.flatten import StraightLine
from idinit_jax.tracing.flow import Flow
from idinit_jax.tracing.traits import Trait, continuous

PRODUCTS = frozenset(("mul", "dot_general"))


def carriers(line: StraightLine, flow: Flow, index: int) -> list[int]:
    """The operands whose vanishing makes the result vanish in the ordinary way: no gates."""
    node = line.nodes[index]
    data = continuous([value for value in node.inputs if flow.is_data[value]], flow.traits)
    if node.operation == "div":
        return data[:1] if flow.is_data[node.inputs[0]] else []
    if node.operation not in PRODUCTS or len(data) < 2:
        return data
    ranks = [_rank(line, flow, value) for value in data]
    return [value for value, rank in zip(data, ranks, strict=True) if rank == min(ranks)]


def _rank(line: StraightLine, flow: Flow, value: int) -> int:
    """0 for a plain signal, 1 for an activation, 2 for a bounded gate or a statistic."""
    if flow.traits[value] & (Trait.SATURATING | Trait.STATISTIC | Trait.REDUCED):
        return 2
    producer = line.producers[value]
    return int(producer is not None and line.nodes[producer].operation == "nonlinearity")
