"""Facts and answers written down as a graph."""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from idinit_jax.tracing.answers import axes as axes_of
from idinit_jax.tracing.answers.affine import affine, is_bent
from idinit_jax.tracing.answers.axes import Axes
from idinit_jax.tracing.answers.contractions import Contraction, Share, find_contractions
from idinit_jax.tracing.answers.derivatives import Derivatives, as_used_forward, find_derivatives
from idinit_jax.tracing.answers.distributions import Distributions, find_distributions
from idinit_jax.tracing.answers.functions import Following, find_functions
from idinit_jax.tracing.answers.groups import with_groups
from idinit_jax.tracing.answers.main_path import past_branches
from idinit_jax.tracing.answers.origins import origin
from idinit_jax.tracing.answers.parameters import Finding, describe
from idinit_jax.tracing.answers.reach import reaching_output, with_gradient
from idinit_jax.tracing.answers.residuals import Sum, find_sums
from idinit_jax.tracing.answers.roles import Found, Judgement, judge
from idinit_jax.tracing.facts import Facts, find_facts
from idinit_jax.tracing.graph import Kernel, ModelGraph, Parameter, ResidualSum, Role, Use
from idinit_jax.tracing.program import Program, Site
from idinit_jax.tracing.program.flatten import StraightLine
from idinit_jax.tracing.program.sites import in_while_loop


class Answers(NamedTuple):
    """All that is found in a program.

    Attributes:
        facts: what the answers rest on.
        contractions: the uses of kernels, in forward order.
        derivatives: which of them a derivative inside the function makes.
        sums: the residual sums, in forward order.
        distributions: attention and routers.
        following: what follows each contraction.
        main: for every value whether it reaches the output past all branches.
        judgements: the roles, one a contraction.
        findings: the other parameters, by their values.
        differentiable: for every value whether an output has a gradient with respect to it.
    """

    facts: Facts
    contractions: Sequence[Contraction]
    derivatives: Derivatives
    sums: Sequence[Sum]
    distributions: Distributions
    following: Sequence[Following]
    main: Sequence[bool]
    judgements: Sequence[Judgement]
    findings: Mapping[int, Finding]
    differentiable: Sequence[bool]


def find_answers(line: StraightLine) -> Answers:
    """Solve for the facts and answer everything; again where a parameter turns out a signal."""
    signals: frozenset[int] = frozenset()
    while True:
        facts = find_facts(line, signals)
        contractions = find_contractions(facts)
        derivatives = find_derivatives(facts, contractions)
        sums = [
            one
            for one in find_sums(facts, contractions)
            if not one.branch or not derivatives.backward.issuperset(one.branch)
        ]
        ends = {line.nodes[one.node].outputs[0] for one in sums}
        distributions = find_distributions(facts, contractions, ends)
        if distributions.queries <= facts.assumed.signals:
            break
        signals = facts.assumed.signals | distributions.queries
    main = past_branches(line, sums)
    differentiable = with_gradient(facts)
    trained = [any(differentiable[share.parameter] for share in one.shares) for one in contractions]
    judgements = judge(
        Found(facts, contractions, trained, sums, distributions, derivatives.reversed), main
    )
    grouped = with_groups(facts, contractions, distributions)
    return Answers(
        facts,
        as_used_forward(grouped, derivatives),
        derivatives,
        sums,
        distributions,
        find_functions(facts, contractions),
        main,
        judgements,
        describe(facts, contractions, reaching_output(facts), differentiable),
        differentiable,
    )


def write_graph(program: Program, answers: Answers) -> ModelGraph:
    """The answers by the paths of the parameters."""
    writer = _Writer(program, answers)
    return ModelGraph(writer.kernels(), writer.parameters(), writer.residuals(), program)


class _Writer:
    def __init__(self, program: Program, answers: Answers) -> None:
        self.program, self.paths = program, program.paths
        self.by_node = {one.use.node: i for i, one in enumerate(answers.contractions)}
        self.answers, self.facts, self.line = answers, answers.facts, answers.facts.line

    def path(self, parameter: int) -> str:
        return self.paths[self.facts.parameters[parameter]]

    # -- kernels

    def kernels(self) -> tuple[Kernel, ...]:
        uses: dict[int, list[tuple[int, Share]]] = {}
        for index, contraction in enumerate(self.answers.contractions):
            for share in contraction.shares:
                uses.setdefault(share.parameter, []).append((index, share))
        return tuple(self.kernel(parameter, held) for parameter, held in uses.items())

    def kernel(self, parameter: int, held: list[tuple[int, Share]]) -> Kernel:
        shape = self.line.shapes[parameter]
        contractions = self.answers.contractions
        # A table that is looked up and used elsewhere is read by its rows.
        spoken = [one for one in held if one[0] not in self.answers.derivatives.silent] or held
        first, share = next((one for one in spoken if contractions[one[0]].is_lookup), spoken[0])
        read = axes_of.read_axes(shape, share)
        axes = read or axes_of.assumed_axes(shape)
        uses = tuple(self.use(index, one, axes_of.layer_index(axes, one)) for index, one in held)
        _agree_across_branches(self.path(parameter), uses, self.line)
        silent = self.answers.derivatives.silent
        voting = [use for use, (index, _) in zip(uses, held, strict=True) if index not in silent]
        role, reason = _agreed(voting or uses)
        if read is None:
            role, reason = "unknown", _why_unreadable(share)
        factor, masked = self.factor(parameter, [index for index, _ in held])
        return Kernel(
            self.path(parameter),
            shape,
            str(self.line.dtypes[parameter]),
            *axes,
            contractions[first].groups,
            uses,
            role,
            reason,
            _layer_roles(axes, uses, self.answers.judgements[first]),
            tuple(sorted(share.unit)),
            factor,
            masked,
            all(one.linear for _, one in held),
            not self.answers.differentiable[parameter],
        )

    def use(self, index: int, share: Share, layer: int | None) -> Use:
        answers = self.answers
        contraction, judgement = answers.contractions[index], answers.judgements[index]
        if judgement.role == "tail" and not self.ends_branch(share):
            beside = "beside the last kernel of a residual branch"
            judgement = judgement._replace(role="hidden", reason=beside)
        node = self.line.nodes[contraction.use.node]
        return Use(
            node.site,
            contraction.operation,
            judgement.role,
            judgement.reason,
            judgement.depth,
            judgement.branch,
            judgement.main,
            answers.following[index].nonlinearity,
            answers.following[index].norm_follows,
            answers.distributions.parts.get(index, ()),
            layer,
            node.repeats,
        )

    def ends_branch(self, share: Share) -> bool:
        leaf = self.facts.parameters[share.parameter]
        return any(leaf in one.tail_kernels for one in self.answers.sums)

    def factor(self, parameter: int, contractions: Sequence[int]) -> tuple[float, bool]:
        """What all uses multiply a kernel by, 1 where they differ; and whether a mask does."""
        weights = (self.answers.contractions[index].use.weight for index in contractions)
        found = [affine(self.facts, weight, parameter) for weight in weights]
        factors = {one.factor if one and not one.offset else 1.0 for one in found}
        masked = any(one.masked for one in found if one)
        agreed = factors.pop() if len(factors) == 1 else 1.0
        return agreed or 1.0, masked

    # -- other parameters

    def parameters(self) -> tuple[Parameter, ...]:
        ends = {leaf: index for index, one in enumerate(self.answers.sums) for leaf in one.ends}
        return tuple(
            self.parameter(value, finding, ends.get(self.facts.parameters[value]))
            for value, finding in self.answers.findings.items()
        )

    def parameter(self, value: int, finding: Finding, ended: int | None) -> Parameter:
        facts, effect = self.facts, finding.effect
        index = self.acted_on(value, finding)
        branch = None if index is None else self.answers.judgements[index].branch
        known = affine(facts, effect.weight, value) if effect else None
        weight = effect.weight if effect else None
        if finding.kind == "kernel_scale" and index is not None:
            weight = self.answers.contractions[index].use.weight
        return Parameter(
            self.path(value),
            self.line.shapes[value],
            str(self.line.dtypes[value]),
            finding.kind,
            finding.reason,
            kernel=None if index is None else self.kernel_of(index),
            branch=branch if ended is None else ended,
            ends_branch=ended is not None,
            factor=known.factor if known and not known.masked else 1.0,
            offset=known.offset if known and not known.masked else 0.0,
            bent=weight is not None and is_bent(facts, weight, value),
            stack_axes=() if weight is None else self.stack_axes(weight, value),
            learned_signal=value in facts.assumed.signals,
        )

    def acted_on(self, value: int, finding: Finding) -> int | None:
        """The contraction whose kernel a parameter rescales, or whose output it meets."""
        if finding.kind == "kernel_scale":
            contractions = enumerate(self.answers.contractions)
            return next((i for i, one in contractions if value in one.modifiers), None)
        node = origin(self.facts, finding.effect.partner) if finding.effect else None
        return None if node is None else self.by_node[node]

    def kernel_of(self, index: int) -> str:
        return self.path(self.answers.contractions[index].shares[0].parameter)

    def stack_axes(self, weight: int, value: int) -> tuple[int, ...]:
        made = self.facts.made_of(weight)[value]
        shape = self.line.shapes[value]
        picked = {atom.axis for atom, _ in made.relation.picked if atom.stride == 1}
        return tuple(sorted(axis for axis in picked if shape[axis] > 1))

    # -- residual sums

    def residuals(self) -> tuple[ResidualSum, ...]:
        return tuple(map(self.residual, self.answers.sums))

    def residual(self, one: Sum) -> ResidualSum:
        node = self.line.nodes[one.node]
        return ResidualSum(
            node.site,
            one.branch_operand,
            self.kernel_paths(one.branch),
            self.kernel_paths(one.shortcut),
            tuple(self.paths[leaf] for leaf in one.tail_kernels),
            tuple(self.paths[leaf] for leaf in one.scales),
            self.repeats(node.site, node.repeats, one.branch),
            self.answers.main[node.outputs[0]],
        )

    def kernel_paths(self, contractions: Sequence[int]) -> tuple[str, ...]:
        found = (
            self.path(share.parameter)
            for index in contractions
            for share in self.answers.contractions[index].shares
        )
        return tuple(dict.fromkeys(found))

    def repeats(self, site: Site, repeats: int, branch: Sequence[int]) -> int:
        """Turns of a sum; in a while loop, which does not tell them, the layers that it picks."""
        if not in_while_loop(self.program, site):
            return repeats
        stacks = (
            math.prod(atom.size for atom, position in share.picked if position is None)
            for index in branch
            for share in self.answers.contractions[index].shares
        )
        return max(stacks, default=1) * repeats


def _why_unreadable(share: Share) -> str:
    return f"its axes cannot be read: {share.lost or 'one stored axis has several meanings'}"


def _agreed(uses: Sequence[Use]) -> tuple[Role, str]:
    """The role of a kernel with several uses."""
    roles = dict.fromkeys(use.role for use in uses)
    if len(roles) == 1:
        return uses[0].role, uses[0].reason
    if "embedding" in roles:
        return "embedding", "looked up by index, and used elsewhere"
    if set(roles) <= {"stem", "hidden", "head"}:
        return "hidden", f"shared between places: {', '.join(roles)}"
    return "unknown", f"its uses disagree: {', '.join(roles)}"


def _agree_across_branches(path: str, uses: Sequence[Use], line: StraightLine) -> None:
    """A kernel in several branches of one conditional has one role in all of them."""
    for one in uses:
        for other in uses:
            if one.role != other.role and _alternatives(one.site, other.site, line):
                raise ValueError(
                    f"{path} is {one.role} in one branch of a conditional and {other.role} in "
                    "another; give each branch kernels of its own, or trace them apart"
                )


def _alternatives(one: Site, other: Site, line: StraightLine) -> bool:
    return any(
        one[: len(site)] == other[: len(site)] == site
        and one[len(site) : len(site) + 1] != other[len(site) : len(site) + 1]
        for site in line.conditionals
    )


def _layer_roles(axes: Axes, uses: Sequence[Use], judgement: Judgement) -> tuple[Role, ...]:
    if not axes.stack_axes:
        return ()
    layers = math.prod(axes.view[axis] for axis in axes.stack_axes)
    if any(use.layer is not None for use in uses):
        by_layer: dict[int | None, Role] = {use.layer: use.role for use in uses}
        return tuple(by_layer.get(layer, uses[0].role) for layer in range(layers))
    if layers == 1:
        first = judgement.first_turn
        return (judgement.last_turn if first == judgement.role else first,)
    middle: list[Role] = [judgement.role] * (layers - 2)
    return (judgement.first_turn, *middle, judgement.last_turn)
