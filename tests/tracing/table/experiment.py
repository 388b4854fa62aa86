"""A primitive applied to arrays, and what comes out when these change.

What has been run is kept, so that many laws are held against one experiment.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from idinit_jax.tracing.program.flatten import called_jaxpr, open_jaxpr
from idinit_jax.tracing.table.intervals import EVERYWHERE, Interval
from idinit_jax.tracing.table.law import Applied, Operands

Run = Callable[[Sequence[Any]], Sequence[Any]]
Values = tuple[Any, ...]

TIMES = 1.7
SMALL_STEP = 1e-6
LARGE_STEPS = (0.6, -0.8, 7.0, -7.0)


class Experiment:
    """One application of a primitive.

    Attributes:
        operation: the primitive's name.
        run: outputs of operands.
        values: the operands.
        params: of the equation.
        lead: leading axes of operands and of outputs, for devices or turns, that the law does not
            speak of: what is changed along them is changed together.
    """

    def __init__(
        self,
        operation: str,
        run: Run,
        values: Sequence[Any],
        params: dict[str, Any],
        lead: tuple[int, int] = (0, 0),
    ) -> None:
        self.operation, self.run, self.params, self.lead = operation, run, params, lead
        self.values: Values = tuple(v if is_key(v) else np.asarray(v) for v in values)
        self.base = self.outputs(self.values)
        self._kept: dict[Any, list[np.ndarray]] = {}

    def outputs(self, values: Sequence[Any]) -> list[np.ndarray]:
        return [
            np.asarray(jax.random.key_data(out) if is_key(out) else out) for out in self.run(values)
        ]

    def applied(self, index: int = 0) -> Applied:
        """What the law of an output sees."""
        lead, out_lead = self.lead
        ins = [np.shape(value)[lead:] for value in self.values]
        outs = [out.shape[out_lead:] for out in self.base]
        return Applied(self.params, ins, outs, index)

    def is_number(self, operand: int) -> bool:
        """Whether an operand is neither an index, a predicate nor a key."""
        return not is_key(self.values[operand]) and jnp.issubdtype(
            self.values[operand].dtype, np.inexact
        )

    def keep(self, key: Any, make: Callable[[], list[np.ndarray]]) -> list[np.ndarray]:
        if key not in self._kept:
            self._kept[key] = make()
        return self._kept[key]

    def times(self, operands: Operands, factor: float) -> list[np.ndarray]:
        """The outputs when some operands are multiplied."""
        return self.keep(
            ("times", operands, factor), lambda: self.outputs(self._times(operands, factor))
        )

    def _times(self, operands: Operands, factor: float) -> Values:
        return tuple(
            np.asarray(value * factor, value.dtype) if i in operands else value
            for i, value in enumerate(self.values)
        )

    def changed(self, operand: int, steps: tuple[float, ...]) -> list[np.ndarray]:
        """For every entry of the operand and every entry of an output: whether it ever changes."""
        return self.keep(("changed", operand, steps), lambda: self._changed(operand, steps))

    def _changed(self, operand: int, steps: tuple[float, ...]) -> list[np.ndarray]:
        lead, out_lead = self.lead
        shape = np.shape(self.values[operand])
        found = [
            np.zeros((int(np.prod(shape[lead:])), *out.shape[out_lead:]), bool) for out in self.base
        ]
        for entry, index in enumerate(np.ndindex(shape[lead:])):
            for place in np.ndindex(shape[:lead]):
                for value in self._stepped(self.values[operand], (*place, *index), steps):
                    outputs = self.outputs(_replaced(self.values, operand, value))
                    for mask, before, after in zip(found, self.base, outputs, strict=True):
                        differ = ~_same(before, after)
                        mask[entry] |= differ.any(tuple(range(out_lead)))
        return found

    @staticmethod
    def _stepped(
        value: np.ndarray, index: tuple[int, ...], steps: tuple[float, ...]
    ) -> Iterator[np.ndarray]:
        for step in steps if jnp.issubdtype(value.dtype, np.inexact) else (1, -1):
            moved = value.copy()
            turn = 1 + 1j if np.iscomplexobj(value) else 1
            moved[index] = not value[index] if value.dtype == bool else value[index] + step * turn
            yield moved

    def variants(self) -> list[Values]:
        """Operands of either sign, and of one number."""
        return [
            self.values,
            tuple(self._numbers(lambda v: np.abs(v))),
            tuple(self._numbers(lambda v: -np.abs(v))),
            tuple(v if is_key(v) else np.full_like(v, v.flat[0]) for v in self.values),
        ]

    def _numbers(self, make: Callable[[np.ndarray], np.ndarray]) -> Iterator[Any]:
        for operand, value in enumerate(self.values):
            yield make(value).astype(value.dtype) if self.is_number(operand) else value

    def ranges(self) -> list[tuple[list[Interval], list[Interval]]]:
        """The intervals of the operands and of the outputs that came of them."""
        return self.keep("ranges", self._ranges)  # type: ignore[return-value]

    def _ranges(self) -> list[Any]:
        return [
            ([interval(v) for v in values], [interval(out) for out in self.outputs(values)])
            for values in self.variants()
        ]


def is_key(value: Any) -> bool:
    return hasattr(value, "dtype") and jnp.issubdtype(value.dtype, jax.dtypes.prng_key)


def interval(value: Any) -> Interval:
    """What real numbers lie in."""
    if is_key(value) or np.iscomplexobj(value):
        return EVERYWHERE
    numbers = np.asarray(value, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    return (float(numbers.min()), float(numbers.max())) if numbers.size else (np.inf, -np.inf)


def _same(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Equal but for rounding: iterations may go on for all entries until the last converges."""
    same = (before == after) | ((before != before) & (after != after))
    if not jnp.issubdtype(before.dtype, np.inexact):
        return same
    with np.errstate(invalid="ignore"):
        return same | (np.abs(after - before) <= 1e-10 * np.abs(before))


def _replaced(values: Values, operand: int, value: Any) -> Values:
    return (*values[:operand], value, *values[operand + 1 :])


def of_primitive(operation: str, function: Callable, values: Sequence[Any]) -> Experiment:
    """The first equation of a primitive in a function, with the operands that it has there."""
    closed = jax.make_jaxpr(function)(*values)
    found = _search(operation, closed, values)
    if found is None:
        raise LookupError(f"no {operation} in {closed}")
    eqn, operands = found

    compiled = jax.jit(lambda *given: _bind(eqn, given))
    return Experiment(operation, lambda given: compiled(*given), operands, dict(eqn.params))


def _search(
    operation: str, body: core.ClosedJaxpr | core.Jaxpr, values: Sequence[Any]
) -> tuple[core.JaxprEqn, list[Any]] | None:
    jaxpr = open_jaxpr(body)
    env: dict[Any, Any] = dict(zip(jaxpr.invars, values, strict=True))
    env.update(zip(jaxpr.constvars, getattr(body, "consts", ()), strict=False))
    for eqn in jaxpr.eqns:
        operands = [v.val if isinstance(v, core.Literal) else env[v] for v in eqn.invars]
        if eqn.primitive.name == operation:
            return eqn, [
                _typed(value, var.aval) for value, var in zip(operands, eqn.invars, strict=True)
            ]
        callee = called_jaxpr(eqn)
        if callee is not None and (found := _search(operation, callee, operands)):
            return found
        env.update(zip(eqn.outvars, _bind(eqn, operands), strict=True))
    return None


def _typed(value: Any, aval: Any) -> Any:
    return value if is_key(value) else np.asarray(value, aval.dtype)


def _bind(eqn: core.JaxprEqn, values: Sequence[Any]) -> list[Any]:
    outputs = eqn.primitive.bind(*values, **eqn.primitive.get_bind_params(eqn.params))
    return list(outputs) if eqn.primitive.multiple_results else [outputs]


def under_devices(
    operation: str, function: Callable, values: Sequence[Any], devices: int, **settings: Any
) -> Experiment:
    """A collective: the operands have a leading axis of devices, outputs get one."""
    mesh = jax.sharding.Mesh(np.array(jax.devices()[:devices]), ("i",))
    spec = jax.sharding.PartitionSpec("i")

    def local(*blocks: jax.Array) -> tuple[jax.Array, ...]:
        return tuple(out[None] for out in jax.tree.leaves(function(*(b[0] for b in blocks))))

    mapped = jax.jit(jax.shard_map(local, mesh=mesh, in_specs=spec, out_specs=spec, **settings))
    params = _params(operation, jax.make_jaxpr(mapped)(*values).jaxpr)
    if params is None:
        raise LookupError(f"no {operation} in {jax.make_jaxpr(mapped)(*values)}")
    return Experiment(operation, lambda given: mapped(*given), values, params, (1, 1))


def _params(operation: str, jaxpr: core.Jaxpr) -> dict[str, Any] | None:
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == operation:
            return dict(eqn.params)
        for inner in eqn.params.values():
            body = open_jaxpr(inner) if isinstance(inner, core.ClosedJaxpr) else inner
            if isinstance(body, core.Jaxpr) and (found := _params(operation, body)):
                return found
    return None
