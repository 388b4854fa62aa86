"""Where in a program a site lies."""

from jax.extend import core

from idinit_jax.tracing.flatten import called_jaxpr, open_jaxpr
from idinit_jax.tracing.program import Program, Site


def surroundings(program: Program, site: Site) -> tuple[dict[Site, int], core.JaxprEqn]:
    """The lengths of the scans around a site, outermost first, and the equation at it."""
    scans: dict[Site, int] = {}
    jaxpr = open_jaxpr(program.jaxpr)
    for end in range(1, len(site), 2):
        equation = jaxpr.eqns[site[end - 1]]
        if equation.primitive.name == "scan":
            scans[site[:end]] = equation.params["length"]
        jaxpr = open_jaxpr(_entered(equation, site[end]))
    return scans, jaxpr.eqns[site[-1]]


def in_while_loop(program: Program, site: Site) -> bool:
    """Whether a site lies in a loop whose length the program does not tell."""
    jaxpr = open_jaxpr(program.jaxpr)
    for end in range(1, len(site), 2):
        equation = jaxpr.eqns[site[end - 1]]
        if equation.primitive.name == "while":
            return True
        jaxpr = open_jaxpr(_entered(equation, site[end]))
    return False


def _entered(equation: core.JaxprEqn, number: int) -> core.ClosedJaxpr | core.Jaxpr:
    """The sub-jaxpr of this number."""
    kind, params = equation.primitive.name, equation.params
    if kind == "cond":
        return params["branches"][number]
    body = params["body_jaxpr"] if kind == "while" else params.get("jaxpr", called_jaxpr(equation))
    if body is None:
        raise ValueError(f"cannot look inside {kind}")
    return body
