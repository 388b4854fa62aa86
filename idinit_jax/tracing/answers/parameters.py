"""Parameters that are no kernels, told by what they do to the signal."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers.affine import affine, scales_table
from idinit_jax.tracing.answers.contractions import Contraction
from idinit_jax.tracing.facts import Facts
from idinit_jax.tracing.facts.relation import Relation, Span
from idinit_jax.tracing.facts.uses import LOOKUPS
from idinit_jax.tracing.graph import ParameterKind
from idinit_jax.tracing.program.flatten import CARRY

# What parameters do to the signal where they meet it; a contraction that sums nothing multiplies.
_MEETINGS = {"sub": "add", "add_any": "add", "div": "mul", "dot_general": "mul"}
_INSERTIONS = frozenset(
    ("concatenate", "select_n", "dynamic_update_slice", "scatter", "scatter-add", "pad")
)


class Effect(NamedTuple):
    """A parameter that meets the data outside of a contraction.

    Attributes:
        node: where.
        parameter, weight: its value, and the operand that is made of it.
        partner: the operand that it meets.
        how: "add", "mul", or the operation.
    """

    node: int
    parameter: int
    weight: int
    partner: int
    how: str


class Finding(NamedTuple):
    """What a parameter is, why, and where that shows."""

    kind: ParameterKind
    reason: str
    effect: Effect | None = None


def find_effects(facts: Facts) -> dict[int, list[Effect]]:
    """Every parameter's meetings with the data, in forward order."""
    found: dict[int, list[Effect]] = {}
    for index in range(len(facts.line.nodes)):
        if index not in facts.uses:
            for effect in _effects_at(facts, index):
                found.setdefault(effect.parameter, []).append(effect)
    return found


def _effects_at(facts: Facts, index: int) -> Iterator[Effect]:
    node = facts.line.nodes[index]
    operands = facts.operands[index]
    if len(operands) < 2 or node.operation in LOOKUPS or facts.is_weight(node.outputs[0]):
        return
    law = facts.law(node.outputs[0])
    choosers = law.choosers if law else ()
    weights = [
        x for place, x in enumerate(operands) if place not in choosers and facts.is_weight(x)
    ]
    partners = [x for x in operands if x not in weights and facts.sources[x]]
    partners.sort(key=lambda x: not facts.is_signal(x))
    for weight in weights:
        if node.operation == CARRY and weight != operands[0]:
            continue
        how = _MEETINGS.get(node.operation, node.operation)
        for parameter in facts.made_of(weight) if partners else ():
            yield Effect(index, parameter, weight, partners[0], how)


def completions(facts: Facts) -> dict[int, int]:
    """Parameter -> the value in which it scales a signal that a norm divides just there."""
    found: dict[int, int] = {}
    for index, node in enumerate(facts.line.nodes):
        if node.operation not in ("mul", "div", "dot_general") or index in facts.uses:
            continue
        value = node.outputs[0]
        degree = facts.degrees[value] or {}
        scaling = [root for root, power in degree.items() if power and facts.is_weight(root)]
        if scaling and _completes(facts, index, value):
            for root in scaling:
                for parameter, made in _parameters_of(facts, root, value):
                    if made:
                        found.setdefault(parameter, value)
    return found


def _parameters_of(facts: Facts, root: int, value: int) -> Iterator[tuple[int, bool]]:
    """The parameters behind a root, and whether they have an axis in a value."""
    varies = bool(facts.relation(value, root).own_dims)
    yield from ((parameter, varies) for parameter in facts.made_of(root))


def _completes(facts: Facts, index: int, value: int) -> bool:
    """Whether a node is the first in which the size of a signal does not count."""
    if not facts.is_normalized(value):
        return False
    before = {x for x in facts.operands[index] if facts.is_data(x)}
    return bool(set(_norms(facts, value)) - {root for x in before for root in _norms(facts, x)})


def _norms(facts: Facts, value: int) -> list[int]:
    """What divides a normalized value: the root of its statistic, or a running variance."""
    degree = facts.degrees[value] or {}
    state = [r for r, power in degree.items() if r in facts.line.state and power in (-0.5, -1)]
    return state + facts.normalized_by(value)


def describe(
    facts: Facts,
    contractions: Sequence[Contraction],
    live: Sequence[bool],
    differentiable: Sequence[bool],
) -> Mapping[int, Finding]:
    """What every parameter is that is no kernel, by its value."""
    kernels = {share.parameter for one in contractions for share in one.shares}
    modifiers = {parameter for one in contractions for parameter in one.modifiers} - kernels
    effects, completed = find_effects(facts), completions(facts)
    found = {}
    for parameter in facts.parameters:
        if parameter in kernels:
            continue
        met = _telling(facts, effects.get(parameter, []))
        if live[parameter] and not differentiable[parameter]:
            finding = Finding("frozen", "no gradient reaches it", met)
        elif parameter in facts.assumed.signals:
            finding = Finding("class_token", "a learned signal that kernels consume")
        elif parameter in modifiers:
            finding = Finding("kernel_scale", "rescales a kernel before its use")
        elif parameter in completed:
            finding = Finding("norm_scale", "multiplies a normalized signal", met)
        elif met is not None:
            finding = _judged(facts, met)
        elif live[parameter]:
            finding = Finding("unknown", "reaches the output without meeting the data")
        else:
            finding = Finding("unused", "does not reach the output")
        found[parameter] = finding
    return found


def _telling(facts: Facts, effects: Sequence[Effect]) -> Effect | None:
    """Of a parameter's effects the first that it has by itself, else the first.

    Before the data arrive (in the first step of a recurrent cell) parameters meet each other.
    """
    alone = (e for e in effects if affine(facts, e.weight, e.parameter) is not None)
    return next(alone, effects[0] if effects else None)


def _judged(facts: Facts, effect: Effect) -> Finding:
    """What a parameter is, by its effect on the signal."""
    how = effect.how
    if how == "mul":
        return _factor(facts, effect)
    if how == "add":
        return _addend(facts, effect)
    if how in _INSERTIONS:
        return Finding("class_token", "placed beside the signal", effect)
    if how == CARRY:
        return Finding("class_token", "initial state of a loop", effect)
    if not facts.learned[effect.partner]:
        return Finding("own", f"meets what no kernel produced, in {how}", effect)
    return Finding("unknown", f"meets the signal in {how}", effect)


def _factor(facts: Facts, effect: Effect) -> Finding:
    partner, weight = effect.partner, effect.weight
    if (facts.degrees[weight] or {}).get(effect.parameter) == -0.5:
        reason = "the signal is divided by its root: a running variance"
        return Finding("norm_scale", reason, effect)
    # One number for all features, such as a temperature, is no part of a norm.
    if (
        facts.is_normalized(partner)
        and not _is_scaled(facts, partner)
        and _own_spans(facts, effect)
    ):
        return Finding("norm_scale", "multiplies a normalized signal", effect)
    if scales_table(facts, weight, effect.parameter):
        return Finding("own", "scales numbers that no kernel produced", effect)
    if not facts.learned[partner] and not _scales_inputs(facts, effect):
        return Finding("own", "scales what no kernel produced", effect)
    if _is_share(facts, partner):
        return Finding("own", "scales shares of a whole, whose size no kernel sets", effect)
    own, features = _own_spans(facts, effect), _there(facts, effect, facts.features(partner))
    if own and features and not any(span.meets(features) for span in own):
        return Finding("own", "varies along an axis that no kernel produced", effect)
    return Finding("multiplier", "multiplies the signal", effect)


def _scales_inputs(facts: Facts, effect: Effect) -> bool:
    """Whether a kernel reads the scaled inputs of the model."""
    scaled = (facts.degrees[effect.partner] or {}).keys() | (facts.degrees[effect.weight] or {})
    read = ((facts.degrees[use.signal] or {}).keys() for use in facts.uses.values())
    return any(
        scaled <= roots and all(x in facts.weights or x in facts.line.inputs for x in roots)
        for roots in read
    )


def _is_share(facts: Facts, value: int) -> bool:
    """Whether a value is a probability, or a sum of probabilities."""
    degree = facts.degrees[value] or {}
    return bool(degree) and not any(degree.values()) and facts.is_probability(value)


def _is_scaled(facts: Facts, value: int) -> bool:
    """Whether a parameter has multiplied a normalized value."""
    degree = facts.degrees[value] or {}
    return any(power and facts.is_weight(root) for root, power in degree.items())


def _addend(facts: Facts, effect: Effect) -> Finding:
    """A bias varies along what a kernel produces, a position embedding along positions too."""
    own, partner = _own_spans(facts, effect), effect.partner
    if _is_masked(facts, effect):
        return Finding("class_token", "placed where a mask is set", effect)
    if own and facts.is_normalized(partner):
        return Finding("norm_bias", "added to a normalized signal", effect)
    if scales_table(facts, effect.weight, effect.parameter):
        return Finding("own", "scales numbers that no kernel produced", effect)
    degree = facts.degrees[partner] or {}
    signals = facts.varying(partner, [root for root in degree if facts.is_signal(root)])
    along = all(span.meets(_there(facts, effect, signals)) for span in own)
    if (len(own) <= 1 and along) or _varies_with_features(facts, effect, own):
        if facts.learned[partner]:
            return Finding("bias", "added to the signal", effect)
        return Finding("own", "shifts what no kernel produced", effect)
    if not along:
        return Finding("own", "is compared with the signal along an axis of its own", effect)
    return Finding("position_embedding", "added to the signal, varies with the position", effect)


def _varies_with_features(facts: Facts, effect: Effect, own: Iterable[Span]) -> bool:
    """Whether a parameter varies only along what kernels produced, and members."""
    produced = facts.features(effect.partner) | facts.factors_along(effect.partner)
    features = _there(facts, effect, produced)
    return all(span.within(features) for span in own)


def _there(facts: Facts, effect: Effect, spans: Iterable[Span]) -> frozenset[Span]:
    """Digits of the partner in what the meeting makes."""
    return _moved(facts, effect, effect.partner, spans)


def _moved(facts: Facts, effect: Effect, operand: int, spans: Iterable[Span]) -> frozenset[Span]:
    operands = facts.operands[effect.node]
    law = facts.law(facts.line.nodes[effect.node].outputs[0])
    move = law.moves.get(operands.index(operand)) if law else None
    return frozenset(spans) if move is None else frozenset(Relation(move).carried(spans))


def _is_masked(facts: Facts, effect: Effect) -> bool:
    """Whether the data choose where a parameter stands, but not which part of it."""
    made = facts.made_of(effect.weight)[effect.parameter]
    return bool(facts.sources[effect.weight] & facts.data) and not made.relation.chosen


def _own_spans(facts: Facts, effect: Effect) -> frozenset[Span]:
    """Digits of what the meeting makes along which the parameter varies."""
    relation = facts.made_of(effect.weight)[effect.parameter].relation
    return _moved(facts, effect, effect.weight, relation.own_spans)
