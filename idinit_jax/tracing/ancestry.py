"""Where two signals come from: a common ancestor, and the kernels on the ways from it."""

import heapq
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from idinit_jax.tracing import gates, operations
from idinit_jax.tracing.flatten import Node, StraightLine
from idinit_jax.tracing.flow import Flow

_FIRST, _SECOND, _BOTH = 1, 2, 3
_SHIFTS = operations.ARITHMETIC | operations.REARRANGEMENTS


class Meeting(NamedTuple):
    """Where the ways back from two values meet.

    Attributes:
        ancestor: the nearest value that both depend on.
        sides: every value on the ways back -> a bit for each of the two that depends on it.
    """

    ancestor: int
    sides: dict[int, int]


class Ways(NamedTuple):
    """Kernels on the paths from an ancestor to a value.

    Attributes:
        shortest, longest: fewest and most kernels on a path.
        mixes: whether a path runs through a product of two signals.
        carried: whether a path passes no gate, so that the signal itself arrives.
    """

    shortest: int
    longest: int
    mixes: bool
    carried: bool


def parents(line: StraightLine, flow: Flow, value: int) -> tuple[int, ...]:
    """The values of the signal that an operation makes this one from."""
    producer = line.producers[value]
    return () if producer is None else flow.signal_inputs[producer]


def meet(
    line: StraightLine, flow: Flow, first: int, second: int, source: int = 0
) -> Meeting | None:
    """Values are numbered topologically: walk back from both, always from the latest.

    Args:
        line, flow: the program and what flows in it.
        first, second: two values.
        source: a bit mask of inputs; where both values carry it, only on ways that carry it.
    """
    within = source & flow.sources[first] & flow.sources[second]
    sides = {first: _FIRST, second: _SECOND}
    heap = [-first, -second]
    heapq.heapify(heap)
    visited: dict[int, int] = {}
    while heap:
        value = -heapq.heappop(heap)
        visited[value] = sides[value]
        if sides[value] == _BOTH:
            return Meeting(value, visited)
        for parent in parents(line, flow, value):
            if within & ~flow.sources[parent]:
                continue
            if parent not in sides:
                heapq.heappush(heap, -parent)
            sides[parent] = sides.get(parent, 0) | sides[value]
    return None


def reads_apart(line: StraightLine, meeting: Meeting) -> list[int]:
    """The pieces of the ancestor that the two sides take, if they take no piece both."""
    taken: dict[int, set[object]] = {_FIRST: set(), _SECOND: set()}
    pieces = []
    for value, side in meeting.sides.items():
        producer = line.producers[value]
        if value != meeting.ancestor and producer is not None:
            node = line.nodes[producer]
            if meeting.ancestor in node.inputs:
                taken[side].add(_start(node, value))
                pieces.append(value)
    both = taken[_FIRST] | taken[_SECOND]
    apart = None not in both and all(taken.values()) and not taken[_FIRST] & taken[_SECOND]
    return pieces if apart else []


def _start(node: Node, value: int) -> object:
    """Where the piece that a node cuts out begins; None if it cuts out none."""
    if node.operation == "slice":
        return tuple(node.params["start_indices"])
    return node.outputs.index(value) if node.operation == "split" else None


def ancestors(line: StraightLine, flow: Flow, value: int, down_to: int) -> list[int]:
    """The value and what it depends on, back to the value `down_to`."""
    seen, stack = {value}, [value]
    while stack:
        for parent in parents(line, flow, stack.pop()):
            if parent >= down_to and parent not in seen:
                seen.add(parent)
                stack.append(parent)
    return list(seen)


def bypasses(line: StraightLine, flow: Flow, value: int, ancestor: int, source: int) -> bool:
    """Whether a source reaches a value on ways past an ancestor that carries it."""
    within = source & flow.sources[ancestor]
    seen, stack = {value, ancestor}, [value]
    while stack and within:
        for parent in parents(line, flow, stack.pop()):
            if parent in seen or within & ~flow.sources[parent]:
                continue
            if parent < ancestor:
                return True
            seen.add(parent)
            stack.append(parent)
    return False


def ways_from(
    line: StraightLine, flow: Flow, ancestor: int, values: Iterable[int]
) -> dict[int, Ways]:
    """For every given value that the ancestor reaches, the kernels on the way."""
    ways = {ancestor: Ways(0, 0, False, True)}
    for value in sorted(values):
        before = [parent for parent in parents(line, flow, value) if parent in ways]
        producer = line.producers[value]
        if value == ancestor or not before or producer is None:
            continue
        reaching = [ways[parent] for parent in before]
        kernels = int(producer in flow.by_node)
        product = line.nodes[producer].operation in gates.PRODUCTS and not kernels
        signals = len(flow.signal_inputs[producer])
        mixes = line.nodes[producer].operation == "dot_general" and not kernels and signals > 1
        carrying = gates.carriers(line, flow, producer) if product else before
        ways[value] = Ways(
            min(way.shortest for way in reaching) + kernels,
            max(way.longest for way in reaching) + kernels,
            mixes or any(way.mixes for way in reaching),
            any(ways[parent].carried for parent in before if parent in carrying),
        )
    return ways


def ends_in_product(line: StraightLine, flow: Flow, value: int) -> bool:
    """Whether a value is the product of two signals, as far back as only numbers act on it."""
    producer = line.producers[value]
    while producer is not None and producer not in flow.by_node:
        before = flow.signal_inputs[producer]
        if line.nodes[producer].operation == "dot_general":
            return len(before) > 1
        if len(before) != 1:
            return False
        producer = line.producers[before[0]]
    return False


def is_exponent(line: StraightLine, readers: Sequence[Sequence[int]], value: int) -> bool:
    """Whether an exponential is taken of a value, as far on as only sums and shapes change it."""
    seen, stack = {value}, [value]
    while stack:
        for index in readers[stack.pop()]:
            node = line.nodes[index]
            if node.operation == "exp":
                return True
            if node.operation in _SHIFTS:
                stack.extend(made for made in node.outputs if made not in seen)
                seen.update(node.outputs)
    return False


def kernels_before(line: StraightLine, flow: Flow) -> list[int]:
    """Kernels on the longest path to each value, every loop turned once."""
    depth = [0] * len(line.shapes)
    for index, node in enumerate(line.nodes):
        reaching = [depth[value] for value in node.inputs if flow.is_data[value]]
        here = max(reaching, default=0) + (index in flow.by_node)
        for value in node.outputs:
            depth[value] = here
    return depth
