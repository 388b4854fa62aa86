"""Of which kernel's output a value is a linear image."""

from idinit_jax.tracing.facts import Facts

_SUMS = frozenset(("add", "sub", "add_any", "select_n", "pad"))


def origin(facts: Facts, value: int) -> int | None:
    """The node of the use of kernels that a value comes from by scaling and shifting alone."""
    while True:
        roots = [root for root in facts.degrees[value] or () if not _is_learned(facts, root)]
        if len(roots) != 1:
            return None
        (root,) = roots
        if root != value and facts.parity(value, root) != -1:
            return None
        producer = facts.line.producers[root]
        if producer is None or producer in facts.uses:
            return producer
        node = facts.line.nodes[producer]
        signals = [x for x in dict.fromkeys(node.inputs) if facts.is_signal(x)]
        if node.operation not in _SUMS or len(signals) != 1:
            return None
        value = signals[0]


def _is_learned(facts: Facts, root: int) -> bool:
    """Whether a root is a parameter, state, or made of them alone."""
    return root in facts.line.state or facts.is_weight(root)
