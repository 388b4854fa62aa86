"""Every benchmark of the project: what it is compared with, why that is fair, and the bars."""

from dataclasses import dataclass
from typing import Any, NamedTuple


class Bar(NamedTuple):
    """What a ratio has to reach, or must not pass.

    >>> Bar(at_most=2.5).holds(2.28), Bar(at_least=15).holds(13)
    (True, False)
    """

    at_least: float | None = None
    at_most: float | None = None

    def holds(self, ratio: float) -> bool:
        """Whether the ratio is on the right side."""
        low = self.at_least is None or ratio >= self.at_least
        return low and (self.at_most is None or ratio <= self.at_most)

    def __str__(self) -> str:
        if self.at_least is not None:
            return f">= {self.at_least:g}"
        return "-" if self.at_most is None else f"<= {self.at_most:g}"


REPORTED = Bar()


class Ratio(NamedTuple):
    """One number of a benchmark's JSON line, found by its dotted path."""

    work: str
    path: str
    bar: Bar = REPORTED

    def of(self, report: dict[str, Any]) -> float | None:
        """The number, or None where the benchmark did not give it."""
        found: Any = report
        for step in self.path.split("."):
            if not isinstance(found, dict) or step not in found:
                return None
            found = found[step]
        return float(found)


@dataclass(frozen=True)
class Benchmark:
    """A module that prints one JSON line.

    Args:
        name: of the module.
        against: the baseline.
        fair: how the baseline was kept fair.
        ratios: what the table shows of it.
        arguments: of its command.
        needs_data: whether it reads a prepared data set and takes --data-dir.
    """

    name: str
    against: str
    fair: str
    ratios: tuple[Ratio, ...]
    arguments: tuple[str, ...] = ()
    needs_data: bool = False


CATALOGUE = (
    Benchmark(
        "initialize_cold",
        against="jax.jit(model.init) with the framework's own He or Xavier",
        fair="fresh process a call, no compilation cache, both trace and compile, sides in turn; "
        "networks in plain Flax, and the project's own, whose blocks the framework too draws in "
        "one program",
        ratios=tuple(
            Ratio(f"{name} {scheme}, times faster", f"{model}.{scheme}.seconds_ratio", bar)
            for model, name, bars in (
                ("resnet50", "ResNet-50", (15, 5)),
                ("vit_b16", "ViT-B/16", (8, 2.5)),
                ("own_resnet50", "own ResNet-50", (15, 5)),
                ("own_vit_b16", "own ViT-B/16", (8, 2.5)),
            )
            for scheme, bar in zip(("idinit", "he"), map(Bar, bars), strict=True)
        ),
    ),
    Benchmark(
        "initialize_warm",
        against="one jax.random.normal draw of the same count",
        fair="one process, sides in turn, each called once before",
        ratios=(
            Ratio(
                "ResNet-50 he, times the draw",
                "resnet50.initialize.seconds_ratio",
                Bar(at_most=1.5),
            ),
            Ratio(
                "ViT-B/16 he, times the draw", "vit_b16.initialize.seconds_ratio", Bar(at_most=1.5)
            ),
        ),
    ),
    Benchmark(
        "initialize_memory",
        against="the parameters' own bytes",
        fair="peak resident memory during the call, above the process before it",
        ratios=(
            Ratio("ResNet-50 he, peak", "peak_over_parameters.ours_resnet50", Bar(at_most=1.3)),
            Ratio("ViT-B/16 he, peak", "peak_over_parameters.ours_vit_b16", Bar(at_most=1.3)),
        ),
    ),
    Benchmark(
        "initialize_torch",
        against="PyTorch constructing the same network with torchvision's rules",
        fair="fresh process a call, imports left out on both sides, sides in turn",
        ratios=(
            Ratio("ResNet-50 IDInit, times faster", "resnet50.idinit_ratio"),
            Ratio("ViT-B/16 IDInit, times faster", "vit_b16.idinit_ratio"),
            Ratio("ResNet-50 he, times faster", "resnet50.he_ratio"),
            Ratio("ViT-B/16 he, times faster", "vit_b16.he_ratio"),
        ),
    ),
    Benchmark(
        "lsuv",
        against="plain forward passes; the layer-by-layer algorithm with two passes a kernel",
        fair="all compiled, one process, in turn; the algorithm's time is that of one layer's "
        "passes times the kernels",
        ratios=(
            Ratio("one pass, in forward passes", "forward_passes", Bar(at_most=2.5)),
            Ratio("against layer by layer, times faster", "times_faster", Bar(at_least=20)),
        ),
    ),
    Benchmark(
        "trace",
        against="nothing: seconds and megabytes",
        fair="fresh process a model",
        ratios=(
            Ratio("ResNet-1202, s", "models.resnet1202.seconds", Bar(at_most=20)),
            Ratio("ResNet-1202, MB", "models.resnet1202.peak_megabytes", Bar(at_most=2000)),
            Ratio("ResNet-1202 scanned, s", "models.resnet1202_scanned.seconds", Bar(at_most=3)),
            Ratio("175 B decoder, s", "models.decoder_175b.seconds", Bar(at_most=20)),
            Ratio("175 B decoder, MB", "models.decoder_175b.peak_megabytes", Bar(at_most=2000)),
            Ratio(
                "175 B decoder scanned, s", "models.decoder_175b_scanned.seconds", Bar(at_most=3)
            ),
        ),
    ),
    Benchmark(
        "call_path",
        against="nothing: files and calls",
        fair="fresh process a model, every call counted",
        ratios=(
            Ratio("residual MLP, files", "models.residual_mlp.files"),
            Ratio("residual MLP, calls between files", "models.residual_mlp.crossings"),
            Ratio("ViT-Ti/16, files", "models.vit_ti16.files"),
            Ratio("ViT-Ti/16, calls between files", "models.vit_ti16.crossings"),
        ),
    ),
    Benchmark(
        "signal_measure",
        against="value and gradient of the same loss, ResNet-50, 224, batch 32",
        fair="both compiled, one process, in turn",
        ratios=(
            Ratio("warm, times the step", "measure_over_step", Bar(at_most=3)),
            Ratio("compile, times the step's", "compile_over_step", Bar(at_most=2.5)),
            Ratio("temporaries, times the step's", "memory_over_step", Bar(at_most=1.3)),
            Ratio("ResNet-1202 scanned, compile s", "resnet1202_compile_wall_s", Bar(at_most=10)),
        ),
    ),
    Benchmark(
        "signal_spectrum",
        against="a budget of Jacobian products; the written-out Jacobian of a small network",
        fair="the bound is compared with the true error",
        ratios=(
            Ratio("ResNet-50, top 20, products", "products", Bar(at_most=60)),
            Ratio("true error over bound", "small_error_over_bound", Bar(at_most=1)),
        ),
    ),
    Benchmark(
        "train_overhead",
        against="the bare compiled step on the same data",
        fair="both in one training run, a chunk of steps each in turn",
        ratios=(Ratio("loop's share of the step", "overhead", Bar(at_most=0.03)),),
        arguments=("cifar10_resnet20", "--train-examples", "6400", "--epochs", "1"),
        needs_data=True,
    ),
    Benchmark(
        "train_dispatch",
        against="a dispatch a step",
        fair="the same steps on the same data, in turn",
        ratios=(Ratio("steps in one scan, times slower", "loop_over_single"),),
    ),
    Benchmark(
        "train_depth",
        against="ResNet-20's compile time; step time a layer at 20 layers",
        fair="the same batch, width and program but for the number of scanned blocks",
        ratios=(
            Ratio("ResNet-1202 compile, times", "compile_1202_over_20", Bar(at_most=2)),
            Ratio("step time a layer, largest deviation", "per_layer_spread", Bar(at_most=0.15)),
        ),
    ),
    Benchmark(
        "data_augmentation",
        against="cutting slices out of a padded copy; a ResNet-20 gradient",
        fair="both compiled on the same batch",
        ratios=(
            Ratio("one gather, times faster than slices", "slices_over_gather"),
            Ratio("share of a ResNet-20 gradient", "gather_over_gradient"),
        ),
    ),
    Benchmark(
        "data_decoding",
        against="decoding the data set from its records",
        fair="the same images to the same arrays",
        ratios=(Ratio("decoded copy, times faster", "decode_over_read"),),
        arguments=("cifar10",),
        needs_data=True,
    ),
)
