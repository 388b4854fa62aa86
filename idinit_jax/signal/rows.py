"""What a measurement is made of: one row a place of the signal, one row a parameter."""

from collections.abc import Iterator
from typing import Any, NamedTuple

from idinit_jax.signal.statistics import Backward, Forward
from idinit_jax.tracing.graph import ModelGraph


class SignalRow(NamedTuple):
    """The signal at one place.

    Attributes:
        name: the kernel's path, "<block>/+" for a residual sum, "input", "output", or
            "<block>/softmax"; with "[i]" for layer i of a scan.
        kind: "input", "kernel", "sum", "softmax" or "output".
        role: of the kernel; "" elsewhere.
        layer: index in a stack, None outside of stacks.
        trunk: whether it lies on the main path: on no branch and on no shortcut.
        nonlinearity: the activation that follows, None if none is known.
        norm_follows: whether a norm follows the kernel.
        parameter: path of the kernel, "" elsewhere.
        forward: see `Forward`, as Python floats.
        backward: see `Backward`; None for an input.
        gradient_ratio: gradient norm here over the one at the next row above (of the trunk, for
            a row of the trunk); above 1 it grows towards the input.
        branch_share: of a sum, variance of the branch over that of branch and shortcut together.
    """

    name: str
    kind: str
    role: str
    layer: int | None
    trunk: bool
    nonlinearity: str | None
    norm_follows: bool
    parameter: str
    forward: Forward
    backward: Backward | None
    gradient_ratio: float | None
    branch_share: float | None

    @property
    def variance(self) -> float:
        """Of the activation; std^2 in double precision, which does not overflow."""
        return float(self.forward.std) ** 2

    def record(self) -> dict[str, Any]:
        """The row as one flat dict of plain numbers and strings."""
        fields = self._asdict()
        forward, backward = fields.pop("forward"), fields.pop("backward")
        fields |= forward._asdict() | {"variance": self.variance}
        if backward is not None:
            fields |= {f"gradient_{key}": value for key, value in backward._asdict().items()}
        return fields


class ParameterRow(NamedTuple):
    """One parameter, or one layer of a stacked one.

    Attributes:
        name: its path, with "[i]" for layer i of a stack.
        path: its path.
        layer: index in the stack, None if it is not stacked.
        kind: "kernel", or what else it is.
        role: of a kernel, "" elsewhere.
        size: number of entries.
        norm, gradient_norm: Euclidean.
        gradient_ratio: gradient norm over norm; infinite for a zero parameter with a gradient.
        dead: fraction of entries whose gradient is exactly zero over the batch.
        units: number of units (outputs) of a kernel, 0 elsewhere.
        identical_units: units with a twin of the same weights and the same gradient.
    """

    name: str
    path: str
    layer: int | None
    kind: str
    role: str
    size: int
    norm: float
    gradient_norm: float
    gradient_ratio: float
    dead: float
    units: int
    identical_units: int

    def record(self) -> dict[str, Any]:
        """The row as one flat dict."""
        return self._asdict()


class SignalReport(NamedTuple):
    """One measurement.

    Attributes:
        rows: the signal in forward order, from "input" to "output".
        parameters: one row a parameter and layer.
        loss: its value.
        gradient_norm: of all parameters together.
        graph: the model that was measured.
    """

    rows: tuple[SignalRow, ...]
    parameters: tuple[ParameterRow, ...]
    loss: float
    gradient_norm: float
    graph: ModelGraph

    def __getitem__(self, name: Any) -> Any:
        """A row by its name, such as `report["head/kernel"]` or `report["blocks/+[3]"]`."""
        if not isinstance(name, str):
            return tuple(self)[name]
        for row in self.rows:
            if row.name == name:
                return row
        raise KeyError(f"no row {name!r}; there are {[row.name for row in self.rows]}")

    @property
    def trunk(self) -> tuple[SignalRow, ...]:
        """Kernel uses and sums on the main path, in forward order."""
        return tuple(row for row in self.rows if row.trunk and row.kind in ("kernel", "sum"))

    def records(self) -> Iterator[dict[str, Any]]:
        """All rows as flat dicts, for JSON lines: the signal first, then the parameters."""
        for row in self.rows:
            yield {"table": "signal", **row.record()}
        for row in self.parameters:
            yield {"table": "parameters", **row.record()}

    def __str__(self) -> str:
        from idinit_jax.signal.table import format_report

        return format_report(self)
