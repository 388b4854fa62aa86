"""Run a traced model and step in at chosen equations.

A hook stands around one equation of the program: it sees the operands, may change them or the
outputs, and hands out a record. Records leave the loops that they are made in, stacked, so one
mechanism serves measuring, rescaling and inserting what a model lacks.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.extend import core

from idinit_jax.tracing.frameworks import is_array
from idinit_jax.tracing.program import Program, PyTree, Site
from idinit_jax.tracing.program.flatten import called_jaxpr, open_jaxpr, scan_counts

Compute = Callable[..., list[jax.Array]]
# (compute, operands, extra) -> (outputs, record). `compute(*operands)` is the equation itself.
Hook = Callable[[Compute, list[jax.Array], PyTree], tuple[list[jax.Array], PyTree]]
Records = dict[Site, PyTree]


def evaluate(
    program: Program,
    params: PyTree,
    state: PyTree,
    inputs: Sequence[PyTree],
    hooks: Mapping[Site, Hook],
    extras: Mapping[Site, PyTree] | None = None,
) -> tuple[list[jax.Array], Records]:
    """Run the program with hooks at some of its equations.

    Args:
        program: as `trace` left it in the graph.
        params, state, inputs: values for the leaves that it was traced with.
        hooks: one a site; called while the computation is traced, so it works under jit, grad
            and vmap.
        extras: arrays for the hooks. At a site in a scan of n turns the leaves have a leading
            axis of n, and each turn sees its own slice.

    Returns:
        The array leaves of the output, and the records by site, with a leading axis for every
        scan around the site. A loop of unknown length hands out those of its last turn. In the
        branch of a conditional that is not taken, floating records are NaN and integer ones 0.

    Raises:
        ValueError: a hook lies in a shard_map, where no record can leave.
    """
    leaves = [leaf for leaf in jax.tree.leaves((params, state, tuple(inputs))) if is_array(leaf)]
    runner = _Runner(hooks, dict(extras or {}))
    records: Records = {}
    jaxpr = program.jaxpr
    outputs = runner.body(jaxpr, leaves, Here((), runner.extras, records))
    return outputs, records


class Here(NamedTuple):
    """Where the evaluation is, what hooks get there, and where their records go.

    Attributes:
        site: of an equation, or of what holds the equations of a body.
        extras: by site.
        records: by site, added to by the hooks.
    """

    site: Site
    extras: Mapping[Site, PyTree]
    records: Records

    def inside(self, index: int) -> "Here":
        """At an equation of a body, or in a body of an equation."""
        return self._replace(site=(*self.site, index))


class _Runner:
    """Knows the hooks and which parts of the program have to be opened to reach them."""

    def __init__(self, hooks: Mapping[Site, Hook], extras: Mapping[Site, PyTree]) -> None:
        self.hooks = hooks
        self.extras = {site: extras.get(site) for site in hooks}
        self.opened = {site[:length] for site in hooks for length in range(len(site))}

    def body(
        self,
        body: core.ClosedJaxpr | core.Jaxpr,
        args: Sequence[Any],
        here: Here,
    ) -> list[Any]:
        """Run a jaxpr; the hooks in it leave their records."""
        jaxpr = open_jaxpr(body)
        env = dict(zip(jaxpr.invars, args, strict=True))
        env.update(zip(jaxpr.constvars, getattr(body, "consts", ()), strict=False))

        def read(atom: Any) -> Any:
            return atom.val if isinstance(atom, core.Literal) else env[atom]

        for index, eqn in enumerate(jaxpr.eqns):
            operands = [read(atom) for atom in eqn.invars]
            outputs = self.equation(eqn, operands, here.inside(index))
            env.update(zip(eqn.outvars, outputs, strict=True))
        return [read(atom) for atom in jaxpr.outvars]

    def equation(self, eqn: core.JaxprEqn, operands: list[Any], here: Here) -> list[Any]:
        site = here.site
        if site in self.hooks:
            hook, extra = self.hooks[site], here.extras[site]
            outputs, here.records[site] = hook(lambda *values: _bind(eqn, values), operands, extra)
            return outputs
        if site not in self.opened:
            return _bind(eqn, operands)
        kind = eqn.primitive.name
        runners = {"scan": self.scan, "while": self.while_loop, "cond": self.conditional}
        if kind in runners:
            return runners[kind](eqn, operands, here)
        if kind == "shard_map":
            raise ValueError("a hook inside shard_map cannot hand out its record; hook outside it")
        if "policy" in eqn.params and "prevent_cse" in eqn.params:
            return self.rematerialized(eqn, operands, here)
        # A custom derivative is opened: its body has the ordinary one.
        callee = called_jaxpr(eqn)
        if callee is None:
            raise ValueError(f"cannot look inside {kind} at {site}")
        return self.body(callee, operands, here.inside(0))

    def extras_in(self, here: Here) -> dict[Site, PyTree]:
        """Those of the hooks in the bodies of an equation."""
        depth = len(here.site)
        return {site: here.extras[site] for site in self.hooks if site[:depth] == here.site}

    def scan(self, eqn: core.JaxprEqn, operands: list[Any], here: Here) -> list[Any]:
        n_consts, n_carry = scan_counts(eqn)
        consts, init = operands[:n_consts], operands[n_consts : n_consts + n_carry]

        def turn(carry: list[Any], slices: tuple) -> tuple[list[Any], tuple]:
            xs, extras = slices
            found: Records = {}
            inside = Here((*here.site, 0), extras, found)
            outputs = self.body(eqn.params["jaxpr"], [*consts, *carry, *xs], inside)
            return outputs[:n_carry], (outputs[n_carry:], found)

        carry, (stacked, found) = jax.lax.scan(
            turn,
            init,
            (operands[n_consts + n_carry :], self.extras_in(here)),
            length=eqn.params["length"],
            reverse=eqn.params["reverse"],
            unroll=eqn.params["unroll"],
        )
        here.records.update(found)
        return [*carry, *stacked]

    def while_loop(self, eqn: core.JaxprEqn, operands: list[Any], here: Here) -> list[Any]:
        n_test, n_body = eqn.params["cond_nconsts"], eqn.params["body_nconsts"]
        test_consts, body_consts = operands[:n_test], operands[n_test : n_test + n_body]
        test = core.jaxpr_as_fun(_closed(eqn.params["cond_jaxpr"]))

        def turn(carry: list[Any]) -> tuple[list[Any], Records]:
            found: Records = {}
            inside = Here((*here.site, 0), here.extras, found)
            return self.body(eqn.params["body_jaxpr"], [*body_consts, *carry], inside), found

        init = operands[n_test + n_body :]
        _, shapes = jax.eval_shape(turn, init)
        outputs, found = jax.lax.while_loop(
            lambda state: test(*test_consts, *state[0])[0],
            lambda state: turn(state[0]),
            (init, jax.tree.map(_absent, shapes)),
        )
        here.records.update(found)
        return outputs

    def conditional(self, eqn: core.JaxprEqn, operands: list[Any], here: Here) -> list[Any]:
        index, *args = operands

        def runner(number: int) -> Callable[..., tuple[list[Any], Records]]:
            def run(*args: Any) -> tuple[list[Any], Records]:
                found: Records = {}
                inside = Here((*here.site, number), here.extras, found)
                return self.body(eqn.params["branches"][number], args, inside), found

            return run

        branches = [runner(number) for number in range(len(eqn.params["branches"]))]
        shapes: Records = {}
        for branch in branches:
            shapes.update(jax.eval_shape(branch, *args)[1])

        def completed(branch: Callable) -> Callable:
            def run(*args: Any) -> tuple[list[Any], Records]:
                outputs, found = branch(*args)
                return outputs, jax.tree.map(_absent, shapes) | found

            return run

        index = jnp.asarray(index, jnp.int32)
        outputs, found = jax.lax.switch(index, [completed(branch) for branch in branches], *args)
        here.records.update(found)
        return outputs

    def rematerialized(self, eqn: core.JaxprEqn, operands: list[Any], here: Here) -> list[Any]:
        def run(args: list[Any], extras: dict[Site, PyTree]) -> tuple[list[Any], Records]:
            found: Records = {}
            inside = Here((*here.site, 0), extras, found)
            return self.body(eqn.params["jaxpr"], args, inside), found

        checkpointed = jax.checkpoint(
            run, policy=eqn.params["policy"], prevent_cse=eqn.params["prevent_cse"]
        )
        outputs, found = checkpointed(operands, self.extras_in(here))
        here.records.update(found)
        return outputs


def _bind(eqn: core.JaxprEqn, operands: Sequence[Any]) -> list[Any]:
    """Run one equation as it stands."""
    bound = eqn.primitive.get_bind_params(eqn.params)
    # Before JAX 0.10 the functions that an equation calls stand beside its parameters.
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    with eqn.ctx.manager:
        outputs = eqn.primitive.bind(*functions, *operands, **params)
    return list(outputs) if eqn.primitive.multiple_results else [outputs]


def _closed(body: core.ClosedJaxpr | core.Jaxpr) -> core.ClosedJaxpr:
    if isinstance(body, core.ClosedJaxpr):
        return body
    return core.ClosedJaxpr(body, getattr(body, "consts", ()))


def _absent(shape: jax.ShapeDtypeStruct) -> jax.Array:
    floating = jnp.issubdtype(shape.dtype, jnp.floating)
    return jnp.full(shape.shape, jnp.nan if floating else 0, shape.dtype)
