"""A jaxpr as a straight line: calls entered, loop bodies written once, branches side by side."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.extend import core

from idinit_jax.tracing.program import Program, Site, is_state

# Nodes that stand for the edges of a loop or of a conditional.
CARRY, LAYER_SLICE, LAYER_STACK, JOIN = "carry", "layer_slice", "layer_stack", "join"
# What a function with a derivative of its own gives: its value by the first operand, a gradient to
# each of them.
CUSTOM = "custom"
# A value as one device sees it, or as all of them do together.
RESHARD = "reshard"


class Node(NamedTuple):
    """One operation on values, which are numbered in topological order."""

    operation: str
    params: dict[str, Any]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    site: Site
    repeats: int


class StraightLine(NamedTuple):
    """A program without calls.

    Attributes:
        nodes: in an order in which every value is made before it is used.
        shapes, dtypes: one entry a value.
        producers: the node that makes a value, None for inputs and constants.
        constants: values that are known numbers.
        arrays: values that are arrays of constants, such as masks.
        params, state, inputs: the values that enter; state that is given as an input is state.
        outputs: the values that leave.
        loops: (carry as the body sees it, carry as the body leaves it) for every loop carry.
        conditionals: sites of conditionals; the next index in a site is the branch.
    """

    nodes: list[Node]
    shapes: list[tuple[int, ...]]
    dtypes: list[Any]
    producers: list[int | None]
    constants: dict[int, float]
    arrays: dict[int, Any]
    params: range
    state: frozenset[int]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    loops: list[tuple[int, int]]
    conditionals: set[Site]


def flatten(program: Program) -> StraightLine:
    """Write the program as a straight line of nodes."""
    writer = _Writer()
    jaxpr = program.jaxpr.jaxpr
    entering = [writer.value(var.aval) for var in jaxpr.invars]
    outputs = writer.body(program.jaxpr, entering, (), 1)
    n_params = len(jax.tree.leaves(program.params))
    n_state = len(jax.tree.leaves(program.state))
    inputs = range(n_params + n_state, len(entering))
    given = {value for value, is_held in zip(inputs, _held(program), strict=True) if is_held}
    return StraightLine(
        writer.nodes,
        writer.shapes,
        writer.dtypes,
        writer.producers,
        writer.constants,
        writer.arrays,
        range(n_params),
        frozenset(range(n_params, n_params + n_state)) | given,
        tuple(value for value in inputs if value not in given),
        tuple(outputs),
        writer.loops,
        writer.conditionals,
    )


def _held(program: Program) -> list[bool]:
    """For every array among the inputs whether it is part of a model's state."""
    parts = jax.tree.leaves(program.inputs, is_leaf=is_state)
    return [
        is_state(part) for part in parts for leaf in jax.tree.leaves(part) if hasattr(leaf, "dtype")
    ]


def readers(line: StraightLine) -> list[list[int]]:
    """For every value the nodes that read it, by index."""
    found: list[list[int]] = [[] for _ in line.shapes]
    for index, node in enumerate(line.nodes):
        for value in dict.fromkeys(node.inputs):
            found[value].append(index)
    return found


def called_jaxpr(eqn: core.JaxprEqn) -> core.ClosedJaxpr | core.Jaxpr | None:
    """The body of an equation that merely calls it (jit, remat, custom derivatives, shard_map)."""
    if eqn.primitive.name in ("scan", "while", "cond"):
        return None
    for name in ("jaxpr", "call_jaxpr", "fun_jaxpr"):
        body = eqn.params.get(name)
        if isinstance(body, core.ClosedJaxpr | core.Jaxpr):
            return body if len(open_jaxpr(body).invars) == len(eqn.invars) else None
    return None


def scan_counts(eqn: core.JaxprEqn) -> tuple[int, int]:
    """How many constants and carries a scan has; JAX 0.12 keeps them as a tree."""
    if "num_consts" in eqn.params:
        return eqn.params["num_consts"], eqn.params["num_carry"]
    consts, carry, _ = eqn.params["ft_in"].unpack()
    return len(consts.vals), len(carry.vals)


def open_jaxpr(body: core.ClosedJaxpr | core.Jaxpr) -> core.Jaxpr:
    return body.jaxpr if isinstance(body, core.ClosedJaxpr) else body


def _shape(aval: Any) -> tuple[int, ...]:
    return tuple(getattr(aval, "shape", ()))


def _is_numeric(literal: Any) -> bool:
    """Whether a constant is a number or an array of numbers, and no random key."""
    dtype = getattr(literal, "dtype", None)
    return isinstance(literal, int | float | complex) or (
        dtype is not None
        and (jnp.issubdtype(dtype, jnp.number) or jnp.issubdtype(dtype, jnp.bool_))
    )


class _Writer:
    """Appends nodes while it walks a jaxpr; the lists it fills become the straight line."""

    def __init__(self) -> None:
        self.nodes: list[Node] = []
        self.shapes: list[tuple[int, ...]] = []
        self.dtypes: list[Any] = []
        self.producers: list[int | None] = []
        self.constants: dict[int, float] = {}
        self.arrays: dict[int, Any] = {}
        self.loops: list[tuple[int, int]] = []
        self.conditionals: set[Site] = set()

    def value(self, aval: Any, producer: int | None = None) -> int:
        self.shapes.append(_shape(aval))
        self.dtypes.append(getattr(aval, "dtype", None))
        self.producers.append(producer)
        return len(self.shapes) - 1

    def constant(self, literal: Any, aval: Any) -> int:
        value = self.value(aval)
        if isinstance(literal, Tracer) or not _is_numeric(literal):
            return value
        if np.ndim(literal) > 0:
            self.arrays[value] = literal
        elif not np.imag(np.asarray(literal)):
            self.constants[value] = float(np.real(np.asarray(literal)))
        return value

    def node(
        self,
        operation: str,
        params: dict[str, Any],
        inputs: Sequence[int],
        avals: Sequence[Any],
        site: Site,
        repeats: int,
    ) -> list[int]:
        index = len(self.nodes)
        outputs = [self.value(aval, index) for aval in avals]
        self.nodes.append(Node(operation, params, tuple(inputs), tuple(outputs), site, repeats))
        return outputs

    def body(
        self, body: core.ClosedJaxpr | core.Jaxpr, entering: Sequence[int], site: Site, repeats: int
    ) -> list[int]:
        """Write a jaxpr's equations; `entering` are the values of its invars."""
        jaxpr = open_jaxpr(body)
        env: dict[Any, int] = dict(zip(jaxpr.invars, entering, strict=True))
        held = getattr(body, "consts", ())
        for var, const in zip(jaxpr.constvars, held, strict=False):
            env[var] = self.constant(const, var.aval)

        def read(atom: Any) -> int:
            if isinstance(atom, core.Literal):
                return self.constant(atom.val, atom.aval)
            return env[atom]

        for index, eqn in enumerate(jaxpr.eqns):
            inputs = [read(atom) for atom in eqn.invars]
            outputs = self.equation(eqn, inputs, (*site, index), repeats)
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(
        self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int
    ) -> list[int]:
        operation = eqn.primitive.name
        if operation == "scan":
            return self.scan(eqn, inputs, site, repeats)
        if operation == "while":
            return self.while_loop(eqn, inputs, site, repeats)
        if operation == "cond":
            return self.conditional(eqn, inputs, site, repeats)
        if operation == "unstack":
            return self.unstack(eqn, inputs, site, repeats)
        if operation == "reshape" and eqn.params["dimensions"] is not None:
            return self.ordered_reshape(eqn, inputs, site, repeats)
        avals = [var.aval for var in eqn.outvars]
        if (callee := called_jaxpr(eqn)) is not None:
            entering = self.reshard(inputs, open_jaxpr(callee).invars, site, repeats)
            outputs = self.body(callee, entering, (*site, 0), repeats)
            outputs = self.reshard(outputs, eqn.outvars, site, repeats)
            if operation.startswith("custom_"):
                outputs = self.differentiated(eqn, inputs, outputs, site, repeats)
            return outputs
        return self.node(operation, dict(eqn.params), inputs, avals, site, repeats)

    def differentiated(
        self, eqn: core.JaxprEqn, inputs: list[int], outputs: list[int], site: Site, repeats: int
    ) -> list[int]:
        """The outputs of a function with a derivative of its own: each may have any gradient."""
        return [
            self.node(CUSTOM, {}, [output, *inputs], [var.aval], site, repeats)[0]
            for output, var in zip(outputs, eqn.outvars, strict=True)
        ]

    def unstack(self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int) -> list[int]:
        """Every position of an axis by itself, as older versions of JAX write it too."""
        axis, shape = eqn.params["axis"], self.shapes[inputs[0]]
        thin = jax.ShapeDtypeStruct((*shape[:axis], 1, *shape[axis + 1 :]), self.dtypes[inputs[0]])
        outputs = []
        for index, var in enumerate(eqn.outvars):
            starts = tuple(index if here == axis else 0 for here in range(len(shape)))
            piece = self.node("slice", {"start_indices": starts}, inputs, [thin], site, repeats)
            dropped = {"dimensions": (axis,)}
            outputs += self.node("squeeze", dropped, piece, [var.aval], site, repeats)
        return outputs

    def ordered_reshape(
        self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int
    ) -> list[int]:
        """A reshape that reads the dimensions in another order transposes first."""
        order, shape = eqn.params["dimensions"], self.shapes[inputs[0]]
        moved = jax.ShapeDtypeStruct([shape[axis] for axis in order], self.dtypes[inputs[0]])
        made = self.node("transpose", {"permutation": order}, inputs, [moved], site, repeats)
        return self.node("reshape", {}, made, [eqn.outvars[0].aval], site, repeats)

    def reshard(
        self, values: Sequence[int], variables: Sequence[Any], site: Site, repeats: int
    ) -> list[int]:
        """The values under the shapes that the other side of a shard_map sees."""
        return [
            value
            if self.shapes[value] == _shape(var.aval)
            else self.node(RESHARD, {}, [value], [var.aval], site, repeats)[0]
            for value, var in zip(values, variables, strict=True)
        ]

    def scan(self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int) -> list[int]:
        body, length = eqn.params["jaxpr"], eqn.params["length"]
        n_consts, n_carry = scan_counts(eqn)
        avals = [var.aval for var in open_jaxpr(body).invars]
        turns = repeats * length
        consts, init, xs = (
            inputs[:n_consts],
            inputs[n_consts : n_consts + n_carry],
            inputs[n_consts + n_carry :],
        )
        carry = self.carries(init, avals[n_consts : n_consts + n_carry], site, turns)
        slices = [
            self.node(LAYER_SLICE, {"length": length}, [x], [aval], site, turns)[0]
            for x, aval in zip(xs, avals[n_consts + n_carry :], strict=True)
        ]
        outputs = self.body(body, [*consts, *carry, *slices], (*site, 0), turns)
        self.loops.extend(zip(carry, outputs[:n_carry], strict=True))
        stacked = [
            self.node(LAYER_STACK, {"length": length}, [y], [var.aval], site, repeats)[0]
            for y, var in zip(outputs[n_carry:], eqn.outvars[n_carry:], strict=True)
        ]
        return [*outputs[:n_carry], *stacked]

    def while_loop(
        self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int
    ) -> list[int]:
        body, n_cond = eqn.params["body_jaxpr"], eqn.params["cond_nconsts"]
        n_consts = eqn.params["body_nconsts"]
        consts, init = inputs[n_cond : n_cond + n_consts], inputs[n_cond + n_consts :]
        avals = [var.aval for var in open_jaxpr(body).invars[n_consts:]]
        carry = self.carries(init, avals, site, repeats)
        outputs = self.body(body, [*consts, *carry], (*site, 0), repeats)
        self.loops.extend(zip(carry, outputs, strict=True))
        return outputs

    def carries(
        self, init: Sequence[int], avals: Sequence[Any], site: Site, repeats: int
    ) -> list[int]:
        return [
            self.node(CARRY, {}, [value], [aval], site, repeats)[0]
            for value, aval in zip(init, avals, strict=True)
        ]

    def conditional(
        self, eqn: core.JaxprEqn, inputs: list[int], site: Site, repeats: int
    ) -> list[int]:
        self.conditionals.add(site)
        branches = [
            self.body(branch, inputs[1:], (*site, index), repeats)
            for index, branch in enumerate(eqn.params["branches"])
        ]
        return [
            self.node(JOIN, {}, alternatives, [var.aval], site, repeats)[0]
            for var, alternatives in zip(
                eqn.outvars, zip(*branches, strict=True) if branches else (), strict=True
            )
        ]
