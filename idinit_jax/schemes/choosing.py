"""From a graph and a scheme to one choice for every parameter."""

import dataclasses
import difflib
from collections.abc import Mapping
from typing import NamedTuple

from idinit_jax import initializers as init
from idinit_jax.initializers import Initializer
from idinit_jax.schemes.fill import Fill, Layers, Scaled, vanishes
from idinit_jax.schemes.filling import fill_of
from idinit_jax.schemes.paths import Where, selected
from idinit_jax.schemes.rules import traced_he
from idinit_jax.schemes.scheme import Choice, Entry, Scheme, SchemeRule, as_rule, get_scheme
from idinit_jax.tracing.graph import Kernel, ModelGraph

Overrides = Mapping[Where, SchemeRule | Initializer]


class Chosen(NamedTuple):
    """What one parameter starts as.

    Attributes:
        entry: the parameter.
        choices: one; for stacked layers of different roles one a layer.
        fill: how its values are made; None where the model's own start stays.
    """

    entry: Entry
    choices: tuple[Choice, ...]
    fill: Fill | None

    @property
    def stream(self) -> str:
        """The path whose random numbers it draws: its own, unless an initializer names another."""
        return getattr(self.choices[0].initializer, "stream", self.entry.path)


def choose(
    graph: ModelGraph, scheme: str | Scheme = "idinit", overrides: Overrides | None = None
) -> dict[str, Chosen]:
    """Path -> choice for every parameter of a graph, in the graph's order.

    Args:
        graph: a traced model.
        scheme: a name or a Scheme.
        overrides: pattern or predicate -> initializer or rule, before the scheme's own tables; of
            several that select a parameter the last one counts.

    Raises:
        ValueError: an unknown scheme, a model that it does not fit, an override that selects
            nothing, or a parameter that no rule covers.
    """
    scheme = get_scheme(scheme)
    if scheme.check is not None:
        scheme.check(graph)
    overriding = _overriding(graph, overrides or {})
    return {
        entry.path: _choose_one(entry, graph, overriding.get(entry.path), scheme) for entry in graph
    }


def _overriding(graph: ModelGraph, overrides: Overrides) -> dict[str, SchemeRule]:
    rules = {}
    for where, value in overrides.items():
        given = as_rule(value)
        label = f"override {where!r}" if isinstance(where, str) else "override"
        for entry in selected(where, graph):
            rules[entry.path] = _labelled(given, label)
    return rules


def _labelled(given: SchemeRule, label: str) -> SchemeRule:
    def choose(entry: Entry, graph: ModelGraph) -> Choice:
        initializer, reason = given(entry, graph)
        return Choice(initializer, f"{label}: {reason}")

    return SchemeRule(choose)


def _choose_one(
    entry: Entry, graph: ModelGraph, override: SchemeRule | None, scheme: Scheme
) -> Chosen:
    if override is None and (why := _why_kept(entry)):
        return Chosen(entry, (Choice(None, f"{why}: keeps the model's own start"),), None)
    layers = _layers(entry) if isinstance(entry, Kernel) else ()
    choices = tuple(
        override(layer, graph)
        if override
        else _defined(_rule_for(layer, scheme)(layer, graph), layer, graph)
        for layer in (layers or (entry,))
    )
    choices = tuple(_with_factor(choice, entry) for choice in choices)
    if len(set(choices)) == 1:
        (choice, *_) = choices
        return Chosen(entry, (choice,), _fill(choice, entry))
    return Chosen(entry, choices, _layered_fill(entry, layers, choices))


def _why_kept(entry: Entry) -> str:
    """Why a parameter keeps the model's own start under every scheme; empty where it does not."""
    if "float" not in entry.dtype:
        return f"{entry.dtype} is not real"
    if not isinstance(entry, Kernel):
        return entry.reason if entry.kind in ("own", "frozen") else ""
    if entry.frozen:
        return "no gradient reaches it"
    return "" if entry.linear else "the model contracts with a function of it that is not linear"


def _defined(choice: Choice, entry: Entry, graph: ModelGraph) -> Choice:
    """Another choice where the model's arithmetic on the kernel would leave nothing of this one.

    It may divide the kernel by its norm, which must not be zero then, or hide entries by a mask,
    and with them the identity.
    """
    if not isinstance(entry, Kernel):
        return choice
    if entry.masked and isinstance(choice.initializer, init.idinit | init.delta_orthogonal):
        initializer, reason = traced_he(entry, graph)
        return Choice(initializer, f"a mask may hide the identity: {reason}")
    if not entry.unit_axes:
        return choice
    fill = _fill(choice, entry)
    if fill is None or not vanishes(fill, entry.shape, entry.unit_axes):
        return choice
    return Choice(
        init.lecun(), f"a direction alone, as the model divides it by its norm: {choice.reason}"
    )


def _with_factor(choice: Choice, entry: Entry) -> Choice:
    """The choice, and in its reason that the fill will be divided by the model's own factor."""
    if not isinstance(entry, Kernel) or not _is_divided(choice.initializer, entry):
        return choice
    return choice._replace(
        reason=f"{choice.reason}; over {entry.factor:.3g}, by which the model multiplies it"
    )


def _rule_for(entry: Entry, scheme: Scheme) -> SchemeRule:
    found = scheme.rule_for(entry)
    if found is None:
        is_kernel = isinstance(entry, Kernel)
        what = f"role {entry.role!r}" if is_kernel else f"kind {entry.kind!r}"
        known = list(scheme.kernels if is_kernel else scheme.parameters)
        near = difflib.get_close_matches(what.split("'")[1], known, n=1, cutoff=0.5)
        hint = f" (near: {near[0]!r})" if near else ""
        raise ValueError(
            f"scheme {scheme.name!r} has no rule for {entry.path!r} of {what}; it has"
            f" {', '.join(known)}{hint}. Add a rule, or overrides={{{entry.path!r}: ...}}"
        )
    return found


def _layers(kernel: Kernel) -> tuple[Kernel, ...]:
    """The kernel of each layer, where stacked layers differ in role."""
    if len(set(kernel.layer_roles)) < 2:
        return ()
    kept = [axis for axis in range(len(kernel.view)) if axis not in kernel.stack_axes]
    view = tuple(kernel.view[axis] for axis in kept)
    renumbered = {
        field: tuple(kept.index(axis) for axis in getattr(kernel, field))
        for field in ("in_axes", "out_axes", "group_axes")
    }
    return tuple(
        dataclasses.replace(
            kernel, shape=view, view=view, stack_axes=(), layer_roles=(), role=role, **renumbered
        )
        for role in kernel.layer_roles
    )


def _layered_fill(entry: Entry, layers: tuple[Kernel, ...], choices: tuple[Choice, ...]) -> Fill:
    fills = [_fill(choice, layer) for choice, layer in zip(choices, layers, strict=True)]
    if None in fills or not isinstance(entry, Kernel):
        raise ValueError(
            f"{entry.path!r} stacks layers of which some would keep the model's own start; give"
            f" overrides={{{entry.path!r}: ...}}"
        )
    return Layers(tuple(fill for fill in fills if fill), entry.view, entry.stack_axes)


def _fill(choice: Choice, entry: Entry) -> Fill | None:
    if choice.initializer is None:
        return None
    if not isinstance(entry, Kernel):
        return fill_of(choice.initializer, entry.shape)
    view, told = with_traced_axes(choice.initializer, entry)
    fill = fill_of(told, view)
    return Scaled(fill, 1 / entry.factor) if _is_divided(choice.initializer, entry) else fill


def _is_divided(initializer: Initializer | None, kernel: Kernel) -> bool:
    """Whether what an initializer makes is divided by the model's factor: if it knows the fans."""
    if initializer is None or kernel.factor == 1:
        return False
    _, told = with_traced_axes(initializer, kernel)
    return told is not initializer


def with_traced_axes(
    initializer: Initializer, kernel: Kernel
) -> tuple[tuple[int, ...], Initializer]:
    """The shape to fill, and the initializer told which of its axes are what.

    An initializer that was given axes, or takes none, sees the stored shape as it is.
    """
    if isinstance(initializer, init.perturbed):
        view, base = with_traced_axes(initializer.rule, kernel)
        return view, dataclasses.replace(initializer, rule=base)
    if not isinstance(initializer, init.KernelRule) or _has_axes(initializer):
        return kernel.shape, initializer
    # A sum over nothing, or a single output, is an axis of size 1.
    view, ins, outs = kernel.view, kernel.in_axes, kernel.out_axes
    if not ins:
        view, ins = (*view, 1), (len(view),)
    if not outs:
        view, outs = (*view, 1), (len(view),)
    return view, dataclasses.replace(
        initializer,
        in_axis=ins,
        out_axis=outs,
        batch_axis=kernel.batch_axes,
        groups=kernel.groups,
    )


def _has_axes(initializer: init.KernelRule) -> bool:
    axes = ("in_axis", "out_axis", "batch_axis", "groups")
    return any(getattr(initializer, name) != getattr(init.lecun(), name) for name in axes)
