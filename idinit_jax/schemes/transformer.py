"""Schemes for transformers that count layers: T-Fixup and DeepNorm."""

from idinit_jax.initializers import Initializer, normal, xavier
from idinit_jax.schemes.rules import (
    STANDARD_PARAMETERS,
    because,
    but_when_unknown,
    everywhere,
)
from idinit_jax.schemes.scheme import Scheme, SchemeRule, register, rule
from idinit_jax.tracing.graph import Kernel, ModelGraph

# An encoder or decoder-only layer has two branches: attention and feed-forward.
_BRANCHES_A_LAYER = 2


def layers_of(graph: ModelGraph) -> float:
    """Transformer layers N, at least one."""
    return max(1.0, graph.branches / _BRANCHES_A_LAYER)


def _in_attention_scores(kernel: Kernel) -> bool:
    return bool(kernel.attention) and set(kernel.attention) <= {"query", "key"}


def _fan_correction(kernel: Kernel) -> float:
    """What turns the fan_avg of fused projections into that of one of them, as a gain."""
    parts = max(1, len(set(kernel.attention) & {"query", "key", "value"}))
    return ((kernel.fan_in + kernel.fan_out) / (kernel.fan_in + kernel.fan_out / parts)) ** 0.5


def scaled_xavier(factor: float, formula: str) -> SchemeRule:
    """Xavier times `factor * N^(-1/4)` but for query, key and routers."""

    @rule
    def scaled(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
        layers, fused = layers_of(graph), _fan_correction(kernel)
        if _in_attention_scores(kernel) or kernel.role == "router" or kernel.branch is None:
            return xavier("normal", gain=fused), "Xavier"
        gain = factor * layers**-0.25
        return xavier("normal", gain=gain * fused), f"Xavier times {formula}, N = {layers:g}"

    return scaled


@rule
def t_fixup_embedding(kernel: Kernel, graph: ModelGraph) -> tuple[Initializer, str]:
    """N(0, 1/d), scaled like the value and feed-forward kernels."""
    layers = layers_of(graph)
    std = max(1, kernel.fan_out) ** -0.5 * 0.67 * layers**-0.25
    return normal(std), f"d^(-1/2) times 0.67 N^(-1/4), N = {layers:g}"


_T_FIXUP = scaled_xavier(0.67, "0.67 N^(-1/4)")
_DEEPNORM = scaled_xavier(8**-0.25, "(8 N)^(-1/4)")

register(
    Scheme(
        "t_fixup",
        "Xavier; values, outputs, feed-forward and embeddings times 0.67 N^(-1/4), N layers of two"
        " branches (Huang et al. 2020, encoder)",
        {
            **everywhere(_T_FIXUP),
            "embedding": t_fixup_embedding,
            "unknown": but_when_unknown(because(xavier("normal"), "Xavier")),
        },
        STANDARD_PARAMETERS,
    )
)
register(
    Scheme(
        "deepnorm",
        "Xavier; values, outputs and feed-forward times (8 N)^(-1/4); the shortcut's factor "
        "(2 N)^(1/4) is the model's own (Wang et al. 2022)",
        {
            **everywhere(_DEEPNORM),
            "unknown": but_when_unknown(because(xavier("normal"), "Xavier")),
        },
        STANDARD_PARAMETERS,
    )
)
