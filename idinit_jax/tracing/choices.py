"""Kernels that the data choose: one expert out of a stack, by a computed index.

A row that is looked up in a table is a signal. A matrix that is looked up and then multiplied with
a signal is a kernel, and what is looked up by the same index and added to its output is its bias. A
single number that is looked up and then only added or multiplied is a bias or a multiplier.
"""

import math
from collections.abc import Iterator, Sequence

from idinit_jax.tracing import contraction, lineage, movement, operations
from idinit_jax.tracing.flatten import Node, StraightLine, readers
from idinit_jax.tracing.lineage import Lineage

LOOKUPS = ("gather", "dynamic_slice")
# What an index goes through on its way to a lookup: wrapping negative ones, shapes, casts.
_INDEXING = operations.REARRANGEMENTS | {"add", "lt", "ge", "and", "clamp", "max", "min", "rem"}


def chosen(line: StraightLine, is_data: Sequence[bool], of_params: Sequence[bool]) -> set[int]:
    """Values that are kernels or biases picked by the data, from the lookup up to their use.

    Args:
        line: the program.
        is_data, of_params: for every value whether inputs and parameters reach it.
    """
    lookups = [
        index
        for index, node in enumerate(line.nodes)
        if node.operation in LOOKUPS
        and of_params[node.inputs[0]]
        and not is_data[node.inputs[0]]
        and any(is_data[value] for value in node.inputs[1:])
    ]
    if not lookups:
        return set()
    finder = _Finder(line, is_data)
    kernels = {index: way for index in lookups if (way := finder.way_to_product(index))}
    sources = {finder.source(index) for index in kernels}
    biases = [
        finder.way_to_sum(index)
        for index in lookups
        if index not in kernels and finder.source(index) in sources
    ]
    numbers = [
        finder.way_to_sum(index)
        for index in lookups
        if index not in kernels and math.prod(line.nodes[index].params["slice_sizes"]) == 1
    ]
    return set().union(*kernels.values(), *biases, *numbers)


class _Finder:
    def __init__(self, line: StraightLine, is_data: Sequence[bool]) -> None:
        self.line, self.is_data = line, is_data
        self.readers = readers(line)

    def way_to_product(self, index: int) -> set[int]:
        """The values up to the product with a signal; empty if there is none.

        The product sums over some of the dimensions that were looked up, and leaves others: a
        table's rows have but one, and attention over rows leaves none of theirs.
        """
        window = _window(self.line.nodes[index], self.line)
        for reader, held, way in self.ways(index):
            value = way[-1]
            side = reader.inputs.index(value)
            shapes = [self.line.shapes[read] for read in reader.inputs]
            how = contraction.consumption(reader, side, shapes, one_hot=False)
            if reader.operation not in operations.PRODUCTS or how is None:
                continue
            parts = (how.dims.contracted, how.dims.produced)
            others = [read for read in reader.inputs if read != value]
            if all(_comes_from(held, dims, window) for dims in parts) and any(
                self.is_data[read] for read in others
            ):
                return set(way)
        return set()

    def way_to_sum(self, index: int) -> set[int]:
        """The values up to arithmetic with a signal; empty if they serve anything else too."""
        values: set[int] = set()
        for reader, _, way in self.ways(index):
            if reader.operation not in operations.ARITHMETIC:
                return set()
            values.update(way)
        return values

    def ways(self, index: int) -> Iterator[tuple[Node, Lineage, list[int]]]:
        """Every node that uses a lookup's result, how it sees it, and the values before it."""
        start = self.line.nodes[index].outputs[0]
        stack = [(lineage.stored(0, self.line.shapes[start]), [start])]
        while stack:
            held, way = stack.pop()
            for number in self.readers[way[-1]]:
                reader = self.line.nodes[number]
                if reader.operation not in operations.REARRANGEMENTS:
                    yield reader, held, way
                    continue
                for output in reader.outputs:
                    shapes = self.line.shapes[way[-1]], self.line.shapes[output]
                    moved = movement.through(reader.operation, reader.params, held, *shapes)
                    stack.append((moved, [*way, output]))

    def source(self, index: int) -> int:
        """The value that an index comes from, before it is wrapped and reshaped."""
        value = next(read for read in self.line.nodes[index].inputs[1:] if self.is_data[read])
        while (producer := self.line.producers[value]) is not None:
            node = self.line.nodes[producer]
            before = {read for read in node.inputs if self.is_data[read]}
            if node.operation not in _INDEXING or not before:
                return value
            value = min(before)
        return value


def _window(node: Node, line: StraightLine) -> frozenset[int]:
    """Dimensions of a lookup's result that it takes over whole from the table."""
    sizes, shape = node.params["slice_sizes"], line.shapes[node.inputs[0]]
    whole = [axis for axis, size in enumerate(shape) if sizes[axis] == size]
    if node.operation == "dynamic_slice":
        return frozenset(whole)
    targets = contraction.gather_places(node.params["dimension_numbers"], len(shape))
    return frozenset(targets[axis] for axis in whole if axis in targets)


def _comes_from(held: Lineage, dims: Sequence[int], window: frozenset[int]) -> bool:
    return not held.lost and any(atom.axis in window for dim in dims for atom in held.dims[dim])
