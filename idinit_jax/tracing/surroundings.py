"""Where in a program a site lies."""

from collections.abc import Iterator

from jax.extend import core

from idinit_jax.tracing.flatten import called_jaxpr, open_jaxpr
from idinit_jax.tracing.program import Program, Site


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
