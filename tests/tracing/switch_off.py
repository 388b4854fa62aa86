"""Which conventions and rules of tracing are held by the gallery: each is switched off in turn.

    python tests/tracing/switch_off.py conventions
    python tests/tracing/switch_off.py rules --only tails --most 1
    python tests/tracing/switch_off.py rows
    python tests/tracing/switch_off.py conventions --tests tests/tracing/test_distributions.py

A convention is what mathematics cannot decide; a rule is any condition in the code of facts and
answers; a row is what the table says of a primitive. Models are traced once, what is known of them
is found again under every switch, in those whose program enters what is switched off. A line tells
how many models then are not as the gallery says, and which comes first; for what no model needs,
the first of the tests that fails.
"""

import argparse
import ast
import contextlib
import functools
import importlib
import inspect
import io
import pathlib
import pkgutil
import signal
import sys
import textwrap
import types
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import pytest
from conventions import CONVENTIONS, Convention
from gallery.entry import GALLERY, Entry, differences

from idinit_jax.tracing import answers, facts
from idinit_jax.tracing.answers import reading
from idinit_jax.tracing.table import TABLE
from idinit_jax.tracing.traced import Traced, traced

# A model that takes more seconds of the processor than this under a switch is taken for endless.
MOST_SECONDS = 5.0
_ROOT = "idinit_jax.tracing."

Code = types.CodeType


class Model(NamedTuple):
    """A model of the gallery, with the functions of the core that its trace enters."""

    entry: Entry
    traced: Traced
    entered: frozenset[Code]
    operations: frozenset[str]


class Switch(NamedTuple):
    """Something that can be switched off.

    Attributes:
        name, reason: what it is called, and what it is for.
        off: a context without it.
        concerns: whether it can make a difference to a model.
    """

    name: str
    reason: str
    off: Callable[[], contextlib.AbstractContextManager[None]]
    concerns: Callable[[Model], bool]


# -- models


def gallery() -> dict[str, Model]:
    """All models, traced, each with what its answers enter."""
    for file in sorted((pathlib.Path(__file__).parent / "gallery").glob("*.py")):
        importlib.import_module(f"gallery.{file.stem}")
    models = {}
    for name, build in GALLERY.items():
        entry = build()
        with jax.numpy_rank_promotion("allow"), jax.numpy_dtype_promotion("standard"):
            one = traced(entry.model, entry.inputs, entry.call_kwargs)
            operations = frozenset(node.operation for node in one.line.nodes)
        models[name] = Model(entry, one, _entered(one, entry), operations)
    return models


def _entered(one: Traced, entry: Entry) -> frozenset[Code]:
    found: set[Code] = set()

    def note(frame: types.FrameType, event: str, _: Any) -> None:
        if event == "call":
            found.add(frame.f_code)

    sys.setprofile(note)
    try:
        wrong = found_wrong(one, entry)
    finally:
        sys.setprofile(None)
    if wrong:
        raise ValueError(f"the gallery fails with everything switched on: {wrong}")
    return frozenset(found)


def found_wrong(one: Traced, entry: Entry) -> list[str]:
    """Where the answers, found anew, depart from what is written down."""
    graph = reading.write_graph(one.program, reading.find_answers(one.line))
    return differences(graph, entry)


def noticing(switch: Switch, models: dict[str, Model], most: int) -> list[str]:
    """The models that are not as written down without something."""
    found: list[str] = []
    with switch.off():
        for name, model in models.items():
            if len(found) < most and switch.concerns(model) and _is_wrong(model):
                found.append(name)
    return found


def _is_wrong(model: Model) -> bool:
    """Whether the answers are others, or there are none."""
    signal.setitimer(signal.ITIMER_VIRTUAL, MOST_SECONDS)
    try:
        return bool(found_wrong(model.traced, model.entry))
    except Exception:
        return True
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _give_up(*_: Any) -> None:
    raise TimeoutError


class _Failures:
    """Names of the tests that fail, for pytest."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.failed:
            self.names.append(report.nodeid)


def failing(switch: Switch, tests: list[str]) -> list[str]:
    """The first test that fails without something, if one does."""
    failures = _Failures()
    quiet = ["-x", "-q", "--no-header", "--assert=plain", "--tb=no", "-p", "no:cacheprovider"]
    with switch.off(), contextlib.redirect_stdout(io.StringIO()):
        pytest.main([*quiet, *tests], plugins=[failures])
    return failures.names


# -- functions with other code


class Function(NamedTuple):
    """A function of the core, by its name below `idinit_jax.tracing`."""

    name: str
    function: types.FunctionType

    @property
    def source(self) -> str:
        return textwrap.dedent(inspect.getsource(self.function))

    def compiled(self, tree: ast.Module) -> Code:
        """The code of another definition of the function."""
        definition = tree.body[0]
        assert isinstance(definition, ast.FunctionDef)
        definition.decorator_list = []
        names = dict(self.function.__globals__)
        code = compile(ast.fix_missing_locations(tree), self.function.__code__.co_filename, "exec")
        exec(code, names)
        return names[definition.name].__code__

    @contextlib.contextmanager
    def coded(self, code: Code) -> Iterator[None]:
        own = self.function.__code__
        self.function.__code__ = code
        _forget()
        try:
            yield
        finally:
            self.function.__code__ = own
            _forget()


def functions() -> dict[str, Function]:
    """All functions of facts and answers, methods and properties too, by name."""
    found = {}
    for package in (facts, answers):
        for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
            for name, function in _functions_in(importlib.import_module(module.name)):
                below = f"{module.name.removeprefix(_ROOT)}.{name}"
                found[below] = Function(below, function)
    return found


def _functions_in(holder: Any) -> Iterator[tuple[str, types.FunctionType]]:
    module = holder.__name__ if inspect.ismodule(holder) else holder.__module__
    for name, value in vars(holder).items():
        if inspect.isclass(value) and value.__module__ == module:
            yield from ((f"{name}.{inner}", one) for inner, one in _functions_in(value))
            continue
        for attribute in ("fget", "func", "__wrapped__"):
            value = getattr(value, attribute, None) or value
        own = inspect.isfunction(value) and value.__module__ == module
        if own and value.__code__.co_filename.endswith(".py") and not value.__code__.co_freevars:
            yield name, value


def _forget() -> None:
    """Drop what functions remember."""
    for name, module in list(sys.modules.items()):
        for value in vars(module).values() if name.startswith(_ROOT) else ():
            if callable(clear := getattr(value, "cache_clear", None)):
                clear()


# -- switches


def conventions() -> Iterator[Switch]:
    known = functions()
    return (_without(known[one.where], one) for one in CONVENTIONS)


def _without(function: Function, convention: Convention) -> Switch:
    source = function.source
    if source.count(convention.rule) != 1:
        raise ValueError(f"{function.name} does not say {convention.rule!r} once")
    code = function.compiled(ast.parse(source.replace(convention.rule, convention.without)))
    return _switch(convention.name, convention.reason, function, code)


def _switch(name: str, reason: str, function: Function, code: Code) -> Switch:
    own = function.function.__code__
    off = functools.partial(function.coded, code)
    return Switch(name, reason, off, lambda model: own in model.entered)


def rules() -> Iterator[Switch]:
    """Every condition: an `if` that never holds, a part of a conjunction, a filter left out."""
    for name, function in functions().items():
        said = (inspect.getdoc(function.function) or "").partition("\n")[0]
        for number in range(len(list(_conditions(ast.parse(function.source))))):
            tree = ast.parse(function.source)
            rule, drop = list(_conditions(tree))[number]
            drop()
            yield _switch(f"{name}: {rule}", said, function, function.compiled(tree))


def _conditions(tree: ast.Module) -> Iterator[tuple[str, Callable[[], Any]]]:
    """The conditions in a definition, and what drops each."""
    for node in ast.walk(tree):
        match node:
            case ast.If() | ast.IfExp() if not _is_for_types(node.test):
                never = functools.partial(setattr, node, "test", ast.Constant(False))
                yield f"if {ast.unparse(node.test)}", never
            case ast.BoolOp() if not isinstance(
                node.values[-1], ast.Tuple | ast.Constant | ast.Dict
            ):
                idle = ast.Constant(isinstance(node.op, ast.And))
                for place, value in enumerate(node.values):
                    if not _is_for_types(value):
                        drop = functools.partial(node.values.__setitem__, place, idle)
                        yield ast.unparse(value), drop
            case ast.comprehension():
                for value in node.ifs:
                    if not _is_for_types(value):
                        yield ast.unparse(value), functools.partial(node.ifs.remove, value)


def _is_for_types(test: ast.expr) -> bool:
    """Whether a condition only asks whether there is something."""
    return isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.Is | ast.IsNot)


def rows() -> Iterator[Switch]:
    """The table without one of its rows."""
    for name, row in TABLE.items():
        said = (inspect.getdoc(row) or "").partition("\n")[0]
        off = functools.partial(_without_row, name)
        yield Switch(name, said, off, lambda model, name=name: name in model.operations)


@contextlib.contextmanager
def _without_row(name: str) -> Iterator[None]:
    table: Any = TABLE
    row = table.pop(name)
    try:
        yield
    finally:
        table[name] = row


KINDS: dict[str, Callable[[], Iterable[Switch]]] = {
    "conventions": conventions,
    "rules": rules,
    "rows": rows,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("--only", default="", help="part of the names of what is switched off")
    parser.add_argument("--most", type=int, default=sys.maxsize, help="models to count")
    parser.add_argument("--tests", nargs="*", default=[], help="tests besides the gallery")
    asked = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", 8)
    signal.signal(signal.SIGVTALRM, _give_up)
    switches = [one for one in KINDS[asked.kind]() if asked.only in one.name]
    models = gallery()
    for switch in switches:
        found = noticing(switch, models, asked.most)
        failed = failing(switch, asked.tests) if asked.tests and not found else []
        held = (
            f"{len(found)} models, {found[0]}" if found else next(iter(failed), "held by no test")
        )
        print(f"{switch.name} | {switch.reason} | {held}", flush=True)


if __name__ == "__main__":
    main()
