"""What tracing finds in a model: its kernels, its residual sums, and everything else it learns."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from idinit_jax.tracing.program import Program, Site

Role = Literal["stem", "hidden", "tail", "shortcut", "head", "embedding", "router", "unknown"]
AttentionPart = Literal["query", "key", "value", "output"]
ParameterKind = Literal[
    "norm_scale",
    "norm_bias",
    "bias",
    "multiplier",
    "kernel_scale",
    "position_embedding",
    "class_token",
    "own",
    "frozen",
    "unused",
    "unknown",
]


@dataclass(frozen=True)
class Use:
    """One consumption of a kernel by a contraction or a gather.

    Attributes:
        site: where in the program it happens; `evaluate` can intercept it there.
        operation: the primitive, or "one_hot" for an embedding spelled as a product.
        role: what the kernel is for in this use.
        reason: why that role, in a few words.
        depth: kernels on the longest path from the input before this use.
        branch: index into `ModelGraph.residuals` of the innermost sum whose branch it is on.
        main: whether a way leads from it to the output that enters no branch of a block.
        nonlinearity: the activation that follows before any other kernel or sum, None if none.
        norm_follows: whether a normalization follows before any other kernel or sum.
        attention: which parts of an attention it computes; several when they are fused.
        layer: position on the stack axes, where the use picks one layer by a fixed index.
        repeats: how often a loop runs this use.
    """

    site: Site
    operation: str
    role: Role
    reason: str
    depth: int
    branch: int | None = None
    main: bool = True
    nonlinearity: str | None = None
    norm_follows: bool = False
    attention: tuple[AttentionPart, ...] = ()
    layer: int | None = None
    repeats: int = 1


@dataclass(frozen=True)
class Kernel:
    """A parameter that contractions or gathers consume.

    The axes index `view`, the stored array reshaped so that every axis has one meaning; it is the
    stored shape itself unless the model folds, say, groups and inputs into one stored axis. Axes
    in none of the four tuples are spatial (the receptive field).

    Attributes:
        path: where the parameter lies in the model's parameter tree, joined by "/".
        shape: as stored.
        dtype: as stored.
        view: the shape the axes refer to.
        in_axes, out_axes: summed over and produced, in row-major order.
        group_axes: one independent kernel an index (a batched contraction).
        stack_axes: one layer an index (a scan, or indexing by layer).
        groups: feature groups of a convolution; the stored in axes hold one group's inputs.
        uses: every consumption, in forward order.
        role: what all uses agree on.
        reason: why.
        unit_axes: stored axes over which the model takes the kernel's norm or standard deviation
            to divide the kernel by it; empty if it does not.
        factor: the model contracts with `factor * stored` (an equalized learning rate).
        masked: it contracts with `mask * stored` besides; the mask's root mean square is in
            `factor` then.
        linear: whether the weight is linear in what is stored, or in its direction; the model
            contracts with a function of a kernel that is not, such as its exponential.
        frozen: no gradient of the output reaches it.
        layer_roles: roles along the stack axes, flattened; empty without stack axes.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    view: tuple[int, ...]
    in_axes: tuple[int, ...]
    out_axes: tuple[int, ...]
    group_axes: tuple[int, ...]
    stack_axes: tuple[int, ...]
    groups: int
    uses: tuple[Use, ...]
    role: Role
    reason: str
    layer_roles: tuple[Role, ...] = ()
    unit_axes: tuple[int, ...] = ()
    factor: float = 1.0
    masked: bool = False
    linear: bool = True
    frozen: bool = False

    @property
    def kind(self) -> Literal["kernel", "frozen"]:
        """A kernel that is not trained is frozen, as a parameter of any other kind is."""
        return "frozen" if self.frozen else "kernel"

    @property
    def batch_axes(self) -> tuple[int, ...]:
        """Axes along which independent kernels lie: groups and layers."""
        return tuple(sorted(self.group_axes + self.stack_axes))

    @property
    def spatial_axes(self) -> tuple[int, ...]:
        """Axes of the receptive field."""
        taken = {*self.in_axes, *self.out_axes, *self.batch_axes}
        return tuple(axis for axis in range(len(self.view)) if axis not in taken)

    @property
    def fan_in(self) -> int:
        """Terms in the sum that makes one output."""
        return self._size(self.in_axes) * self._size(self.spatial_axes)

    @property
    def fan_out(self) -> int:
        """Outputs that one input of its group reaches."""
        return self._size(self.out_axes) * self._size(self.spatial_axes) // self.groups

    @property
    def layers(self) -> int:
        """Layers stacked in this one array."""
        return self._size(self.stack_axes)

    @property
    def operation(self) -> str:
        return self.uses[0].operation

    @property
    def depth(self) -> int:
        return self.uses[0].depth

    @property
    def branch(self) -> int | None:
        return self.uses[0].branch

    @property
    def nonlinearity(self) -> str | None:
        return self.uses[0].nonlinearity

    @property
    def norm_follows(self) -> bool:
        return any(use.norm_follows for use in self.uses)

    @property
    def attention(self) -> tuple[AttentionPart, ...]:
        """Attention parts over all uses, each once."""
        return tuple(dict.fromkeys(part for use in self.uses for part in use.attention))

    def _size(self, axes: tuple[int, ...]) -> int:
        return math.prod(self.view[axis] for axis in axes)


@dataclass(frozen=True)
class Parameter:
    """A parameter that is no kernel.

    Attributes:
        path, shape, dtype: as for a kernel.
        kind: what it does to the signal.
        reason: why it is taken for that.
        kernel: path of the kernel whose output it acts on, if one stands right before it.
        branch: residual sum whose branch it is on.
        ends_branch: whether it is the last thing that scales that branch.
        factor, offset: the model uses `factor * stored + offset` (Gemma's `1 + scale`: 1 and 1).
        bent: whether it uses a function instead that is not zero at zero, such as a sigmoid.
        stack_axes: axes that index layers.
        start: of a bias, the one value that the model itself gives all its entries at the start,
            if that is known.
        learned_signal: whether kernels consume it like a signal, as they do latents and queries.
        designed: of a bias, whether it is among the few that the model holds uneven, such as the
            rates of a recurrence.
    """

    path: str
    shape: tuple[int, ...]
    dtype: str
    kind: ParameterKind
    reason: str
    kernel: str | None = None
    branch: int | None = None
    ends_branch: bool = False
    factor: float = 1.0
    offset: float = 0.0
    bent: bool = False
    stack_axes: tuple[int, ...] = ()
    start: float | None = None
    designed: bool = False
    learned_signal: bool = False


@dataclass(frozen=True)
class ResidualSum:
    """An addition whose operands share an ancestor, one reached through fewer kernels.

    Attributes:
        site: the addition in the program.
        branch_operand: 0 or 1, the longer way.
        branch_kernels: paths of the kernels on the branch, in forward order.
        shortcut_kernels: likewise on the shortcut; empty for an identity.
        tails: paths of the last kernels of the branch.
        scales: paths of the parameters that scale the branch after its tails, last first.
        repeats: how often a loop runs this sum.
        main: whether a way leads from it to the output that enters no branch of a block.
    """

    site: Site
    branch_operand: int
    branch_kernels: tuple[str, ...]
    shortcut_kernels: tuple[str, ...]
    tails: tuple[str, ...]
    scales: tuple[str, ...]
    repeats: int = 1
    main: bool = True


@dataclass(frozen=True)
class ModelGraph:
    """A model as its own jaxpr describes it.

    Attributes:
        kernels: in forward order of their first use.
        parameters: everything else, in the order of the parameter tree.
        residuals: residual sums in forward order.
        program: the jaxpr behind the graph, which `evaluate` runs.
    """

    kernels: tuple[Kernel, ...]
    parameters: tuple[Parameter, ...]
    residuals: tuple[ResidualSum, ...]
    program: Program = field(repr=False)

    @property
    def branches(self) -> int:
        """Residual branches L, counting every turn of a loop."""
        return sum(residual.repeats for residual in self.residuals)

    def __getitem__(self, path: str) -> Kernel | Parameter:
        for entry in self:
            if entry.path == path:
                return entry
        raise KeyError(f"no parameter at {path!r}; the model has {[e.path for e in self]}")

    def __iter__(self) -> Iterator[Kernel | Parameter]:
        yield from self.kernels
        yield from self.parameters
