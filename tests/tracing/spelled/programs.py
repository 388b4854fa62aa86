"""Networks as a list of blocks, and what is known of the parameters of every block."""

from typing import NamedTuple

from hypothesis import strategies as st

POINTS, TIMES, FEATURES, CLASSES = 2, 4, 3, 5
WIDTH, HIDDEN, HEADS, EXPERTS = 8, 12, 2, 3
KINDS = ("dense", "gated", "attention", "recurrent", "expert")
# Kernels that read the same signal and can lie side by side in one array.
FUSED = {
    "gated": {"fused": ("gate", "up")},
    "attention": {"fused": ("q", "k", "v")},
    "recurrent": {"fused": ("xz", "xc"), "fused_state": ("hz", "hc")},
}


class Block(NamedTuple):
    """A residual block.

    Attributes:
        kind: what the branch computes.
        function: its activation, where it has one.
        norm: whether a norm comes before the branch, after the sum, or not at all.
        learned: whether that norm has a scale and a bias.
        biased: whether the kernels have biases.
        scaled: whether a learned multiplier ends the branch.
    """

    kind: str
    function: str
    norm: str
    learned: bool
    biased: bool
    scaled: bool


class Network(NamedTuple):
    """Blocks that run one after the other, `turns` times as a whole, between two kernels."""

    blocks: tuple[Block, ...]
    turns: int


class Weight(NamedTuple):
    """A kernel of a block, and what tracing must find of it."""

    inputs: int
    outputs: int
    role: str
    attention: tuple[str, ...] = ()
    follows: str | None = None
    grouped: bool = False


BLOCKS = st.builds(
    Block,
    st.sampled_from(KINDS),
    st.sampled_from(["relu", "gelu", "tanh", "silu"]),
    st.sampled_from(["none", "before", "after"]),
    st.booleans(),
    st.booleans(),
    st.booleans(),
)
NETWORKS = st.builds(
    Network, st.lists(BLOCKS, min_size=1, max_size=2).map(tuple), st.integers(2, 3)
)


def weights_of(block: Block) -> dict[str, Weight]:
    """The kernels of a block; the last of every way to its end are tails."""
    function = block.function
    return {
        "dense": {
            "a": Weight(WIDTH, HIDDEN, "hidden", follows=function),
            "b": Weight(HIDDEN, WIDTH, "tail"),
        },
        "gated": {
            "gate": Weight(WIDTH, HIDDEN, "hidden", follows=function),
            "up": Weight(WIDTH, HIDDEN, "hidden"),
            "down": Weight(HIDDEN, WIDTH, "tail"),
        },
        "attention": {
            "q": Weight(WIDTH, WIDTH, "hidden", ("query",)),
            "k": Weight(WIDTH, WIDTH, "hidden", ("key",)),
            "v": Weight(WIDTH, WIDTH, "hidden", ("value",)),
            "o": Weight(WIDTH, WIDTH, "tail", ("output",)),
        },
        "recurrent": {
            "xz": Weight(WIDTH, WIDTH, "hidden"),
            "hz": Weight(WIDTH, WIDTH, "hidden"),
            "xc": Weight(WIDTH, WIDTH, "tail"),
            "hc": Weight(WIDTH, WIDTH, "tail"),
        },
        "expert": {
            "router": Weight(WIDTH, EXPERTS, "router", follows="exp"),
            "up": Weight(WIDTH, HIDDEN, "hidden", follows=function, grouped=True),
            "down": Weight(HIDDEN, WIDTH, "tail", grouped=True),
        },
    }[block.kind]


def fuse(block: Block) -> dict[str, Weight]:
    """The kernels of a block with those that read one signal side by side."""
    weights = weights_of(block)
    for name, parts in FUSED.get(block.kind, {}).items():
        taken = [weights.pop(part) for part in parts]
        weights[name] = Weight(
            taken[0].inputs,
            sum(one.outputs for one in taken),
            "tail" if any(one.role == "tail" for one in taken) else "hidden",
            tuple(part for one in taken for part in one.attention),
            next((one.follows for one in taken if one.follows), None),
        )
    return weights
