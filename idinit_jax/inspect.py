"""See how a model starts: provenance, signal, verdict.

    python -m idinit_jax.inspect package.module:factory --input 8,32,32,3 --scheme idinit
    python -m idinit_jax.inspect package.module:factory --input 8,128:int32:1000 --html report.html

The factory takes no arguments and gives a Linen, NNX or Equinox module, a Haiku transformed
function, or a pair (apply, parameter tree). Inputs are drawn: floats are normal, integers lie below
the number behind the second colon. The exit status is 0 for a healthy start, 1 for a broken one and
2 where the model cannot be inspected.
"""

import argparse
import ast
import importlib
import inspect
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from idinit_jax.schemes import schemes
from idinit_jax.signal.inspection import Inspection, inspect_model
from idinit_jax.signal.page import render
from idinit_jax.signal.picture import save_picture


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status is returned."""
    options = _parser().parse_args(arguments)
    try:
        inspection = _inspect(options)
        _write(inspection, options)
    except (AttributeError, ImportError, OSError, TypeError, ValueError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    return 0 if inspection.verdict.healthy else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        "idinit-inspect", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("factory", help="package.module:function, or module:attribute of a model")
    parser.add_argument(
        "--input",
        action="append",
        required=True,
        metavar="SHAPE[:DTYPE[:BELOW]]",
        help="shape of a batch, 8,32,32,3; once for every argument of the model",
    )
    parser.add_argument("--scheme", default="idinit", help=", ".join(schemes()))
    parser.add_argument("--compare", default="", metavar="SCHEME,...", help="other schemes")
    parser.add_argument("--seed", type=int, default=0, help="of parameters and inputs")
    parser.add_argument(
        "--call",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="argument of the model's call; a `train` argument is True unless given here",
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page")
    parser.add_argument("--png", type=Path, metavar="FILE", help="draw the curves (matplotlib)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    return parser


def _inspect(options: argparse.Namespace) -> Inspection:
    model, *params = load_model(options.factory)
    key, *keys = jax.random.split(jax.random.key(options.seed), 1 + len(options.input))
    batch = [draw_input(text, key) for text, key in zip(options.input, keys, strict=True)]
    return inspect_model(
        model,
        key,
        *params,
        *batch,
        scheme=options.scheme,
        others=[name for name in options.compare.split(",") if name],
        call_kwargs=_training_mode(model) | dict(map(read_argument, options.call)),
    )


def load_model(name: str) -> tuple[Any, ...]:
    """What `package.module:factory` gives: (model,), or (function, parameter tree).

    Raises:
        ValueError: the name has no colon.
        ImportError, AttributeError: there is no such module or attribute.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        raise ValueError(f"{name!r} names no factory; write package.module:factory")
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    found = getattr(importlib.import_module(module), attribute)
    model = found() if inspect.isroutine(found) or inspect.isclass(found) else found
    return model if isinstance(model, tuple) and type(model) is tuple else (model,)


def draw_input(text: str, key: jax.Array) -> jax.Array:
    """An array of "8,32,32,3", "8,32,32,3:bfloat16" or "8,128:int32:1000".

    Raises:
        ValueError: the text is none of these.
    """
    shape_text, dtype_text, below = [*text.split(":"), "", ""][:3]
    try:
        shape = tuple(int(size) for size in shape_text.split(","))
        dtype = jnp.dtype(dtype_text or "float32")
        if jnp.issubdtype(dtype, jnp.integer):
            return jax.random.randint(key, shape, 0, int(below or 2)).astype(dtype)
        return jax.random.normal(key, shape).astype(dtype)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"--input {text!r} is no SHAPE[:DTYPE[:BELOW]], such as 8,32,32,3 or 8,128:int32:1000"
        ) from error


def read_argument(text: str) -> tuple[str, Any]:
    """A name and a Python literal from "name=value"; what is no literal is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--call {text!r} is no NAME=VALUE")
    try:
        return name, ast.literal_eval(value)
    except (SyntaxError, ValueError):
        return name, value


def _training_mode(model: Any) -> dict[str, Any]:
    """A start is judged as it trains: fresh averages of a batch norm normalize nothing."""
    takes = callable(model) and "train" in inspect.signature(model).parameters
    return {"train": True} if takes else {}


def _write(inspection: Inspection, options: argparse.Namespace) -> None:
    print(inspection.provenance, inspection.report, sep="\n\n", end="\n\n")
    print(inspection.spectrum, end="\n\n")
    if inspection.comparison:
        print(inspection.comparison, end="\n\n")
    print(inspection.verdict)
    if inspection.recommendation:
        print(inspection.recommendation)
    if options.html:
        options.html.write_text(render(inspection, options.factory), encoding="utf-8")
    if options.json:
        text = json.dumps(inspection.record(), indent=1, allow_nan=False)
        options.json.write_text(text + "\n", encoding="utf-8")
    if options.png:
        compared = inspection.comparison.reports if inspection.comparison else {}
        save_picture(compared or {inspection.scheme: inspection.report}, options.png)


if __name__ == "__main__":
    sys.exit(main())
