"""Measure the signal of a model: forward and backward, in one compiled call."""

import functools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from idinit_jax.signal.build import build_report
from idinit_jax.signal.rows import SignalReport
from idinit_jax.signal.sites import (
    INPUT,
    OUTPUT,
    Place,
    find_edges,
    find_places,
    first_floating,
    output_index,
)
from idinit_jax.signal.softmaxes import Logits, find_softmaxes, summarize_logits
from idinit_jax.signal.statistics import Summary, Sums, gram_of, summarize, sums_of
from idinit_jax.signal.tap import make_slot, tap
from idinit_jax.signal.units import ParameterStatistics, parameter_statistics
from idinit_jax.tracing import ModelGraph, Traced, traced_with
from idinit_jax.tracing.frameworks import is_array, with_named
from idinit_jax.tracing.program import PyTree, Site
from idinit_jax.tracing.program.evaluate import Hook, evaluate
from idinit_jax.tracing.program.sites import enclosing

Loss = Callable[..., jax.Array]


class Record(NamedTuple):
    """What is seen at one site, with an axis for every scan around it.

    Attributes:
        summary: of the activation, or of the logits of a softmax.
        operands: sums of the two operands of a residual sum, the branch first.
    """

    summary: Summary | Logits
    operands: tuple[Sums, ...] = ()


class Statistics(NamedTuple):
    """All numbers of one measurement, on the device.

    Attributes:
        loss: its value.
        forward: by site; INPUT and OUTPUT stand for the first floating input and output.
        backward: likewise; sums of the gradients.
        parameters: as `parameter_statistics` gives them.
    """

    loss: jax.Array
    forward: dict[Site, Record]
    backward: dict[Site, Sums]
    parameters: tuple[ParameterStatistics, ...]


def unit_noise(outputs: PyTree) -> jax.Array:
    """A loss whose gradient at the outputs is independent noise of variance one, uniform.

    It asks how a backward signal travels, whatever the task: `sum(outputs * noise)`. No two entries
    are alike, so that two classes never get the same gradient by chance.
    """
    leaves = [leaf for leaf in jax.tree.leaves(outputs) if jnp.issubdtype(leaf.dtype, jnp.floating)]
    return sum((_noisy_sum(leaf) for leaf in leaves), start=jnp.float32(0.0))


def _noisy_sum(x: jax.Array) -> jax.Array:
    """The sum of the entries times uniform numbers: the top bits of a multiplicative hash."""
    index = jnp.arange(x.size, dtype=jnp.uint32).reshape(x.shape) + jnp.uint32(1)
    mixed = index * jnp.uint32(0x9E3779B1)
    mixed = (mixed ^ (mixed >> 15)) * jnp.uint32(0x85EBCA77)
    mixed = (mixed ^ (mixed >> 13)) * jnp.uint32(0xC2B2AE3D)
    noise = math.sqrt(3) * ((mixed >> 8).astype(jnp.float32) / 2**23 - 1.0)
    return jnp.sum(x.astype(jnp.float32) * noise)


@dataclass(frozen=True)
class Meter:
    """A measurement of one model, compiled at its first call.

    Attributes:
        traced: the model.
        loss: (outputs, *targets) -> scalar.
    """

    traced: Traced
    loss: Loss

    def __call__(
        self,
        values: PyTree,
        *inputs: PyTree,
        targets: Sequence[PyTree] = (),
        call_kwargs: Mapping[str, Any] = {},
    ) -> SignalReport:
        """Measure with other values or another batch of the same shapes.

        Of `call_kwargs` the arrays are taken; the others are those that the meter was made with.
        """
        inputs, _ = with_named(inputs, call_kwargs)
        return self.report(self.compiled(*self.arguments(values, inputs), tuple(targets)))

    @property
    def graph(self) -> ModelGraph:
        return self.traced.graph

    def report(self, statistics: Statistics) -> SignalReport:
        """Rows from the numbers that `statistics` gave."""
        places = (*self.edges, *self.places, *self.softmaxes)
        return build_report(self.graph, places, jax.device_get(statistics))

    @functools.cached_property
    def places(self) -> tuple[Place, ...]:
        return find_places(self.graph)

    @functools.cached_property
    def edges(self) -> tuple[Place, ...]:
        return find_edges(self.graph.program)

    @functools.cached_property
    def softmaxes(self) -> tuple[Place, ...]:
        return find_softmaxes(self.graph.program)

    @functools.cached_property
    def forward_only(self) -> frozenset[Site]:
        """Sites in functions with a backward rule of their own: what comes back is not seen there.

        To look at it these functions would have to be opened, and their rule would be lost.
        """
        sites = (place.site for place in (*self.places, *self.softmaxes))
        return frozenset(site for site in sites if self._has_own_rule(site))

    def _has_own_rule(self, site: Site) -> bool:
        around = enclosing(self.traced.program, site)
        return any(equation.primitive.name.startswith("custom_vjp") for _, equation in around)

    @functools.cached_property
    def compiled(self) -> Callable[..., Statistics]:
        """`statistics`, jitted."""
        return jax.jit(self.statistics)

    @functools.cached_property
    def compiled_gradient(self) -> Callable[..., PyTree]:
        """`gradient`, jitted."""
        return jax.jit(self.gradient)

    def arguments(self, values: PyTree, inputs: Sequence[PyTree]) -> tuple[PyTree, list, list]:
        """Parameters, and the arrays of the state and of the inputs, as `statistics` wants them."""
        params, state = self.traced.model.split(values)
        return params, _arrays(state), _arrays(tuple(inputs))

    def statistics(
        self, params: PyTree, state: list, inputs: list, targets: tuple = ()
    ) -> Statistics:
        """The measurement as a pure function, for a training step to call under jit."""
        every = {place.site: _slot(place) for place in self.places}
        slots = {site: slot for site, slot in every.items() if site not in self.forward_only}
        slots[OUTPUT] = make_slot()
        (loss, (records, output)), (gradients, backward) = jax.value_and_grad(
            self._loss_and_records, argnums=(0, 1), has_aux=True
        )(params, slots, state, inputs, targets)
        inner = {site: hook for site, hook in self._hooks().items() if site in self.forward_only}
        if inner:
            records |= evaluate(self.traced.program, params, state, inputs, inner, every)[1]
        edges = {OUTPUT: Record(output)}
        if (index := first_floating(inputs)) is not None:
            edges[INPUT] = Record(summarize(inputs[index]))
        return Statistics(loss, records | edges, backward, self._parameters(params, gradients))

    def gradient(self, params: PyTree, state: list, inputs: list, targets: tuple = ()) -> PyTree:
        """The gradient of the loss with respect to the parameters, and nothing else."""

        def loss(params: PyTree) -> jax.Array:
            outputs, _ = evaluate(self.graph.program, params, state, inputs, {})
            return self.loss(jax.tree.unflatten(self.graph.program.out_tree, outputs), *targets)

        return jax.grad(loss)(params)

    def _loss_and_records(
        self, params: PyTree, slots: dict[Site, Sums], state: list, inputs: list, targets: tuple
    ) -> tuple[jax.Array, tuple[dict, Summary]]:
        hooks = {s: hook for s, hook in self._hooks().items() if s not in self.forward_only}
        extras = {site: slot for site, slot in slots.items() if site != OUTPUT}
        outputs, records = evaluate(self.graph.program, params, state, inputs, hooks, extras)
        index = output_index(self.graph.program)
        outputs[index] = tap(outputs[index], slots[OUTPUT])
        output = summarize(jax.lax.stop_gradient(outputs[index]))
        tree = jax.tree.unflatten(self.graph.program.out_tree, outputs)
        return self.loss(tree, *targets), (records, output)

    def _hooks(self) -> dict[Site, Hook]:
        hooks: dict[Site, Hook] = {place.site: _hook(place) for place in self.places}
        return hooks | {softmax.site: _softmax_hook(softmax) for softmax in self.softmaxes}

    def _parameters(self, params: PyTree, gradients: PyTree) -> tuple[ParameterStatistics, ...]:
        paths = self.graph.program.paths
        values = dict(zip(paths, jax.tree.leaves(params), strict=True))
        slopes = dict(zip(paths, jax.tree.leaves(gradients), strict=True))
        entries = tuple(self.graph)
        held = [values[entry.path] for entry in entries]
        return tuple(parameter_statistics(entries, held, [slopes[entry.path] for entry in entries]))


def make_meter(
    model: Any,
    values: PyTree,
    *inputs: PyTree,
    loss: Loss = unit_noise,
    call_kwargs: Mapping[str, Any] = {},
) -> Meter:
    """Prepare a measurement that is made many times, such as during training.

    Args:
        model, values, inputs, loss, call_kwargs: see `measure`; arrays may be ShapeDtypeStructs.

    Returns:
        The meter: called with values and a batch it gives a report.

    Raises:
        TypeError: a model of no known kind.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> model, x = nn.Dense(3), jnp.ones((2, 4))
    >>> values = model.init(jax.random.key(0), x)
    >>> meter = make_meter(model, values, x)
    >>> [row.name for row in meter(values, x).rows]
    ['input', 'kernel', 'output']
    """
    return Meter(traced_with(model, values, inputs, call_kwargs), loss)


def measure(
    model: Any,
    values: PyTree,
    *inputs: PyTree,
    loss: Loss = unit_noise,
    targets: Sequence[PyTree] = (),
    call_kwargs: Mapping[str, Any] = {},
) -> SignalReport:
    """Measure the signal at every kernel and residual sum, forward and backward.

    The model runs unchanged, in one compiled call. Statistics are taken where the activations and
    their gradients arise, so that none is kept longer than the gradient of the loss needs it; a
    scanned stack gives one row a layer.

    Args:
        model: a Linen, NNX or Equinox module, a Haiku transformed function, a function
            `apply(params, *inputs)`, or any of them `traced`.
        values: what the framework calls an initialized model: the variables that Linen's and
            Haiku's `init` return, the NNX or Equinox module itself, a function's parameter tree.
        *inputs: a batch, examples along axis 0.
        loss: (outputs, *targets) -> scalar. By default noise of variance one goes backward.
        targets: further arguments of the loss.
        call_kwargs: keyword arguments of the model's call. A model with batch norm is measured
            as it trains with `{"train": True}`.

    Returns:
        The report; `print` shows it as a table, `diagnose` judges it.

    Raises:
        TypeError: a model of no known kind, or one without a floating output.
        ValueError: a kernel lies inside a `shard_map`.

    >>> import flax.linen as nn, jax, jax.numpy as jnp
    >>> model = nn.Sequential([nn.Dense(64), nn.relu, nn.Dense(64)])
    >>> x = jax.random.normal(jax.random.key(0), (32, 64))
    >>> report = measure(model, model.init(jax.random.key(1), x), x)
    >>> [(row.name, round(row.variance, 1)) for row in report.trunk]
    [('layers_0/kernel', 1.1), ('layers_2/kernel', 0.5)]
    """
    return make_meter(model, values, *inputs, loss=loss, call_kwargs=call_kwargs)(
        values, *inputs, targets=targets, call_kwargs=call_kwargs
    )


def _hook(place: Place) -> Hook:
    """Record an output, and pass it through its tap."""

    def hook(compute: Callable, operands: list, slot: Sums) -> tuple[list, Record]:
        y, *rest = compute(*operands)
        seen = [y]
        if place.residual:
            branch = place.residual.branch_operand
            seen += [operands[branch], operands[1 - branch]]
        seen = jax.lax.stop_gradient(seen)
        sums, *parts = sums_of(*seen)
        gram = gram_of(seen[0], place.features, sums.largest)
        record = Record(Summary(sums, gram), tuple(parts))
        return [tap(y, slot), *rest], record

    return hook


def _softmax_hook(softmax: Place) -> Hook:
    def hook(compute: Callable, operands: list, extra: None) -> tuple[list, Record]:
        del extra
        shifted = jax.lax.stop_gradient(operands[0])
        return compute(*operands), Record(summarize_logits(shifted, softmax.features[0]))

    return hook


def _slot(place: Place) -> Sums:
    return make_slot(tuple(loop.length for loop in place.loops))


def _arrays(tree: PyTree) -> list:
    return [leaf for leaf in jax.tree.leaves(tree) if is_array(leaf)]
