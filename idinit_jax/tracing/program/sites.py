"""Where in a program a site lies."""

from collections.abc import Iterator
from typing import NamedTuple

from jax.extend import core

from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.flatten import called_jaxpr, open_jaxpr


class Operand(NamedTuple):
    """One operand of the equation at a site."""

    site: Site
    index: int


def enclosing(program: Program, site: Site) -> Iterator[tuple[Site, core.JaxprEqn]]:
    """The sites and equations that a site lies inside of, outermost first."""
    jaxpr = open_jaxpr(program.jaxpr)
    for end in range(1, len(site), 2):
        equation = jaxpr.eqns[site[end - 1]]
        yield site[:end], equation
        jaxpr = open_jaxpr(entered(equation, site[end]))


def equation_at(program: Program, site: Site) -> core.JaxprEqn:
    """The equation at a site."""
    body = program.jaxpr
    for around, equation in enclosing(program, site):
        body = entered(equation, site[len(around)])
    return open_jaxpr(body).eqns[site[-1]]


def scans_around(program: Program, site: Site) -> dict[Site, int]:
    """The lengths of the scans around a site, outermost first."""
    return {
        around: equation.params["length"]
        for around, equation in enclosing(program, site)
        if equation.primitive.name == "scan"
    }


def in_while_loop(program: Program, site: Site) -> bool:
    """Whether a site lies in a loop whose length the program does not tell."""
    return any(equation.primitive.name == "while" for _, equation in enclosing(program, site))


def entered(equation: core.JaxprEqn, number: int) -> core.ClosedJaxpr | core.Jaxpr:
    """The sub-jaxpr of this number."""
    kind, params = equation.primitive.name, equation.params
    if kind == "cond":
        return params["branches"][number]
    body = params["body_jaxpr"] if kind == "while" else params.get("jaxpr", called_jaxpr(equation))
    if body is None:
        raise ValueError(f"cannot look inside {kind}")
    return body


def in_caller(program: Program, operand: Operand) -> Operand | None:
    """The operand of the call around an equation that is the same value, if it is one."""
    if len(operand.site) < 3:
        return None
    site, number = operand.site[:-2], operand.site[-2]
    caller = equation_at(program, site)
    if called_jaxpr(caller) is None:
        return None
    body = open_jaxpr(entered(caller, number))
    variable = body.eqns[operand.site[-1]].invars[operand.index]
    return Operand(site, body.invars.index(variable)) if variable in body.invars else None
