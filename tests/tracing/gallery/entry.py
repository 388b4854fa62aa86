"""One architecture with what its parameters are for, written down by hand."""

import fnmatch
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from idinit_jax.tracing import Kernel, ModelGraph, trace


class Entry(NamedTuple):
    """An architecture of the gallery.

    Attributes:
        model: what `trace` takes.
        inputs: sample inputs.
        expected: path pattern -> expectation; the first pattern that matches a path holds.
        residuals: residual branches, every turn of a loop counted.
        call_kwargs: keyword arguments of the model's call; arrays among them are inputs.

    An expectation is a line of words. For a kernel: its role, then a letter for every axis of
    `view` (i: in, o: out, g: group, s: stack, `.`: spatial), then "bent" where the weight is a
    nonlinear function of the parameter, then if it matters the attention parts ("@query") and the
    nonlinearity that follows (">gelu", ">" for none), and for a stack the role of every layer
    ("=stem,hidden,tail"). For any other parameter: its kind, then "ends" where it is the last to
    scale a residual branch, and "s" where it is stacked; "learned_signal" for one that kernels
    consume like a signal; "frozen" for one without a gradient, kernels too.
    """

    model: Any
    inputs: tuple[Any, ...]
    expected: Mapping[str, str]
    residuals: int
    call_kwargs: Mapping[str, Any] = {}

    def trace(self) -> ModelGraph:
        """The graph, under the lenient promotion that other people's models are written for."""
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            return trace(self.model, *self.inputs, call_kwargs=self.call_kwargs)


GALLERY: dict[str, Callable[[], Entry]] = {}


def entry(build: Callable[[], Entry]) -> Callable[[], Entry]:
    """Hang an architecture up in the gallery."""
    if build.__name__ in GALLERY:
        raise ValueError(f"there already is a {build.__name__}")
    GALLERY[build.__name__] = build
    return build


def shape(*sizes: int, dtype: Any = "float32") -> jax.ShapeDtypeStruct:
    return jax.ShapeDtypeStruct(sizes, dtype)


def shapes(tree: Mapping[str, Any]) -> Any:
    """A parameter tree written as nested dicts of shape tuples."""
    return jax.tree.map(lambda size: shape(*size), tree, is_leaf=lambda leaf: type(leaf) is tuple)


def differences(graph: ModelGraph, entry: Entry) -> list[str]:
    """Where the graph departs from what is expected, one line each."""
    matched = set()
    found = []
    for one in graph:
        pattern = next((p for p in entry.expected if fnmatch.fnmatchcase(one.path, p)), None)
        if pattern is None:
            found.append(f"{one.path}: unexpected {_described(one, '')}")
            continue
        matched.add(pattern)
        expected = entry.expected[pattern]
        if (actual := _described(one, expected)) != expected:
            found.append(f"{one.path}: expected {expected!r}, traced {actual!r} ({one.reason})")
    found += [f"{p}: no such parameter" for p in entry.expected if p not in matched]
    if graph.branches != entry.residuals:
        sums = [(one.branch_kernels, one.shortcut_kernels) for one in graph.residuals]
        found.append(f"expected {entry.residuals} branches, traced {graph.branches}: {sums}")
    return found


def axis_letters(kernel: Kernel) -> str:
    letters = ["."] * len(kernel.view)
    for letter, axes in (
        ("i", kernel.in_axes),
        ("o", kernel.out_axes),
        ("g", kernel.group_axes),
        ("s", kernel.stack_axes),
    ):
        for axis in axes:
            letters[axis] = letter
    return "".join(letters)


def _described(one: Any, expected: str) -> str:
    """The traced parameter in the words of an expectation, as far as that one speaks of it."""
    if one.kind == "frozen" and expected.startswith("frozen"):
        return " ".join(["frozen"] + ["s"] * bool(one.stack_axes))
    if not isinstance(one, Kernel):
        if expected == "learned_signal" and one.learned_signal:
            return expected
        return " ".join([one.kind] + ["ends"] * one.ends_branch + ["s"] * bool(one.stack_axes))
    words = [one.role, axis_letters(one)] + ["bent"] * (not one.linear)
    said = {
        "@": ",".join(one.attention),
        ">": one.nonlinearity or "",
        "=": ",".join(one.layer_roles),
    }
    words += [word[0] + said[word[0]] for word in expected.split()[2:] if word[0] in said]
    return " ".join(words)
