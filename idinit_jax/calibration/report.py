"""What a calibration did, kernel by kernel."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

NOT_SELECTED = "not selected"


class KernelReading(NamedTuple):
    """One kernel, or one layer of a stack.

    Attributes:
        path: of the kernel.
        layer: index on its stack axes, row-major; None for a single kernel.
        std_before: std of its output when the signal reached it, all kernels before it already
            corrected; NaN where it was not measured.
        std_after: the same with the parameters that are given back.
        scale: what its values were multiplied by.
        note: empty where `std_after` is within tolerance, else why it is not.
    """

    path: str
    layer: int | None
    std_before: float
    std_after: float
    scale: float
    note: str


class BiasReading(NamedTuple):
    """One bias, or one layer of a stack: the mean of the kernel's output plus the bias."""

    path: str
    layer: int | None
    mean_before: float
    mean_after: float


class LsuvReport(NamedTuple):
    """All readings.

    Attributes:
        kernels: one a kernel and layer, in forward order.
        biases: one a bias and layer, where means were corrected, in tree order.
        passes: forward passes that were run, the verifying ones included.
    """

    kernels: tuple[KernelReading, ...]
    biases: tuple[BiasReading, ...]
    passes: int

    @property
    def missed(self) -> tuple[KernelReading, ...]:
        """Readings of selected kernels that are not within tolerance."""
        return tuple(one for one in self.kernels if one.note not in ("", NOT_SELECTED))

    def __str__(self) -> str:
        table = _table(
            ("kernel", "std before", "std after", "scale", ""),
            [(_name(one), *map(_number, one[2:5]), one.note) for one in self.kernels],
        )
        if self.biases:
            rows = [(_name(one), *map(_number, one[2:])) for one in self.biases]
            table += "\n\n" + _table(("bias", "mean before", "mean after"), rows)
        return f"{table}\n\n{self.passes} forward passes, {len(self.missed)} of " + (
            f"{len(self.kernels)} kernels not within tolerance"
        )


def _name(reading: KernelReading | BiasReading) -> str:
    return reading.path if reading.layer is None else f"{reading.path}[{reading.layer}]"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns aligned by spaces, names to the left and numbers to the right."""
    lines = [tuple(head), *map(tuple, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if 0 < column < 4 else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
