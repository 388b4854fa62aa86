"""The command, from the name of a factory to files and an exit status."""

import html.parser
import json
import math
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import pytest

from idinit_jax import inspect
from idinit_jax.models import MLP

pytestmark = pytest.mark.usefixtures("quick_compilation")

FACTORIES = """
import jax.numpy as jnp
from idinit_jax.models import MLP

MODEL = MLP(features=(24,) * 6, num_classes=5)

def mlp():
    return MODEL

def zeros():
    return lambda params, x: jnp.tanh(x @ params["a"]) @ params["b"], {
        "a": jnp.zeros((6, 8)), "b": jnp.zeros((8, 3)),
    }
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a module of factories, and what the command wrote there."""
    folder = tmp_path_factory.mktemp("inspected")
    (folder / "inspected_factories.py").write_text(FACTORIES)
    sys.path.insert(0, str(folder))
    arguments = ["inspected_factories:mlp", "--input", "8,4,6", "--compare", "he"]
    for kind in ("html", "json", "png"):
        arguments += [f"--{kind}", str(folder / f"report.{kind}")]
    assert inspect.main(arguments) == 0
    return folder


def test_all_numbers_are_written_as_json(folder: Path) -> None:
    found = json.loads((folder / "report.json").read_text(), parse_constant=pytest.fail)
    assert (found["scheme"], found["healthy"], found["findings"]) == ("idinit", True, [])
    assert [row["name"] for row in found["signal"]][:2] == ["input", "dense_0/kernel"]
    assert found["spectrum"]["shape"] == [8 * 5, 8 * 24]
    assert {row["path"] for row in found["provenance"]} >= {"head/kernel", "head/bias"}
    assert len(found["weights"]) == 7


class _Page(html.parser.HTMLParser):
    """Notes the tags that are open, and everything that would load something."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loaded: list[str] = []
        self.count: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self.count[tag] = self.count.get(tag, 0) + 1
        self.loaded += [value for name, value in attrs if name in ("src", "href", "srcset")]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_is_well_formed_and_loads_nothing(folder: Path) -> None:
    text = (folder / "report.html").read_text()
    page = _Page()
    page.feed(text)
    assert page.open == []
    assert page.loaded == []
    assert "url(" not in text
    assert "@import" not in text
    # Two curves of the signal, two of the comparison, and the histogram.
    assert page.count["svg"] == 5
    assert page.count["table"] == 5
    assert ">nan<" not in text.lower()


def test_a_name_cannot_break_the_page() -> None:
    from idinit_jax.signal.svg import line_chart

    chart = line_chart("<b>", {"<i>": [1.0, 2.0]}, ["</svg><script>", "b"], "&")
    page = _Page()
    page.feed(chart)
    assert set(page.count) <= {"svg", "text", "path", "polyline", "circle", "title"}


def test_gaps_and_constants_can_be_drawn() -> None:
    from idinit_jax.signal.svg import histogram, line_chart

    chart = line_chart("t", {"a": [0.0, math.nan, math.inf, 3.0]}, list("abcd"), "v")
    assert chart.count("<circle") == 1
    assert histogram("t", [1.0] * 9, "v").count("<rect") >= 5
    assert histogram("t", [0.0], "v").startswith("<svg")


def test_the_picture_is_a_png(folder: Path) -> None:
    assert (folder / "report.png").read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"


def test_chromium_sorts_and_prints_the_page(folder: Path) -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None:
        pytest.skip("chromium is not installed")
    page = folder / "sorted.html"
    # A click on the column of variances, and what then stands in the first row.
    click = (
        "<script>document.querySelectorAll('th button')[3].click();"
        "document.title = [...document.querySelectorAll('tbody')[0].rows]"
        ".map(row => row.cells[3].dataset.value).join();</script></body>"
    )
    page.write_text((folder / "report.html").read_text().replace("</body>", click))
    flags = [
        "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
        f"--user-data-dir={folder / 'profile'}",
    ]  # fmt: skip

    def run(*arguments: str) -> str:
        command = [chromium, *flags, *arguments, page.as_uri()]
        return subprocess.run(command, capture_output=True, text=True, timeout=900).stdout

    title = run("--dump-dom").partition("<title>")[2].partition("</title>")[0]
    variances = [float(value) for value in title.split(",")]
    assert len(variances) == 9
    assert variances == sorted(variances)
    run(f"--print-to-pdf={folder / 'page.pdf'}", "--no-pdf-header-footer")
    assert (folder / "page.pdf").read_bytes().startswith(b"%PDF")


@pytest.mark.usefixtures("folder")
def test_a_broken_start_has_status_one_and_a_recommendation(capsys: pytest.CaptureFixture) -> None:
    # Xavier's variance halves in each of the 40 layers.
    sys.modules["inspected_factories"].MODEL = MLP(features=(16,) * 40, num_classes=5)
    status = inspect.main(["inspected_factories:mlp", "--input", "8,16", "--scheme", "xavier"])
    assert status == 1
    text = capsys.readouterr().out
    assert "vanishing at dense_" in text
    assert "recommended: " in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["inspected_factories", "--input", "2,6"], "package.module:factory"),
        (["inspected_factories:zeros", "--input", "2;6"], "SHAPE"),
        (["inspected_factories:missing", "--input", "2,6"], "missing"),
        (["inspected_factories:mlp", "--input", "2,6", "--scheme", "hee"], "unknown scheme"),
        (["inspected_factories:mlp", "--input", "2,6", "--call", "train"], "NAME=VALUE"),
    ],
)
@pytest.mark.usefixtures("folder")
def test_what_cannot_be_inspected_has_status_two(
    capsys: pytest.CaptureFixture, arguments: list[str], message: str
) -> None:
    assert inspect.main(arguments) == 2
    assert message in capsys.readouterr().err


def test_inputs_are_drawn_from_their_description() -> None:
    key = jax.random.key(0)
    tokens = inspect.draw_input("4,9:int32:7", key)
    assert (tokens.shape, tokens.dtype) == ((4, 9), jnp.int32)
    assert 0 <= int(tokens.min()) <= int(tokens.max()) < 7
    assert inspect.draw_input("3:bfloat16", key).dtype == jnp.bfloat16
    assert inspect.read_argument("train=False") == ("train", False)
    assert inspect.read_argument("mode=mean") == ("mode", "mean")


def test_matplotlib_is_asked_for_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from idinit_jax.signal.picture import save_picture

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ModuleNotFoundError, match=r"idinit_jax\[report\]"):
        save_picture({}, folder / "x.png")
