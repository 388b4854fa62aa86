"""What an experiment is: frozen, typed dataclasses that configs/ fills in and flags override.

A `TrainConfig` holds everything that decides a run's numbers. Where and how fast they are computed
is an `Execution`: the same config gives the same run wherever it is executed.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import Any, Literal

from idinit_jax import Layout

Scheme = Literal[
    "he",
    "xavier",
    "lecun",
    "orthogonal",
    "delta_orthogonal",
    "lsuv",
    "zero",
    "zero_perturbed",
    "zero_gamma",
    "zero_hadamard",
    "skipinit",
    "rezero",
    "fixup",
    "t_fixup",
    "deepnorm",
    "mimetic",
    "idinit",
    "idinit_literal",
    "framework",
]
KernelStart = Literal["standard", "identity"]
Tail = Literal["standard", "literal", "norm_aware", "norm_aware_he"]
Norm = Literal["batch", "layer", "none"]
Shortcut = Literal["padded", "projection"]


@dataclass(frozen=True)
class CifarResNet:
    """A CIFAR ResNet of 6n + 2 layers."""

    depth: int = 20
    """Kernels on the longest path, 6n + 2."""
    width: int = 16
    """Channels of the first stage; each later one has twice as many."""
    norm: Norm = "batch"
    """The normalization after each convolution."""
    shortcut: Shortcut = "padded"
    """How a shortcut changes its shape."""
    scan: bool = False
    """Whether identical blocks are scanned: compile time that does not grow with depth."""


@dataclass(frozen=True)
class ImageNetResNet:
    """An ImageNet ResNet of 18, 34, 50, 101 or 152 layers."""

    depth: int = 50
    """18, 34, 50, 101 or 152."""
    norm: Norm = "batch"
    """The normalization after each convolution."""
    shortcut: Shortcut = "projection"
    """How a shortcut changes its shape."""


@dataclass(frozen=True)
class MLP:
    """A multilayer perceptron."""

    features: tuple[int, ...] = (256, 256, 256)
    """Widths of the hidden layers, first to last."""
    activation: Literal["relu", "tanh"] = "relu"
    """Applied to every hidden layer."""
    scan: bool = False
    """Compile the hidden layers after the first, of one width then, as one loop."""


@dataclass(frozen=True)
class VisionTransformer:
    """A Vision Transformer."""

    size: Literal["Ti", "S", "B", "L"] = "Ti"
    """Width, blocks and attention heads: 192, 12, 3; 384, 12, 6; 768, 12, 12; 1024, 24, 16."""
    width: int | None = None
    """Of the stream, a multiple of the heads; None for the size's."""
    depth: int | None = None
    """Blocks; None for the size's."""
    heads: int | None = None
    """Attention heads; None for the size's."""
    patch: int = 4
    """Side of a patch in pixels, a divisor of the image's."""
    pooling: Literal["token", "mean"] = "mean"
    """What the classifier sees: a class token, or the mean over patches."""
    position: Literal["zero", "sincos"] = "zero"
    """The position embedding: learned from zero, or fixed sines and cosines."""
    dropout: float = 0.0
    """Rate for single features."""
    stochastic_depth: float = 0.0
    """Rate at which a sample skips a branch of the last block; falls linearly to 0 at the first."""
    scan: bool = True
    """Whether blocks are scanned: compile time that does not grow with depth."""
    remat: bool = False
    """Whether the backward pass computes activations again: memory for time."""


Model = CifarResNet | ImageNetResNet | MLP | VisionTransformer


@dataclass(frozen=True)
class Initialization:
    """The scheme, and where an ablation departs from it; None leaves a choice to the scheme."""

    scheme: Scheme = "he"
    """Which initialization the network starts from."""
    layout: Layout | None = None
    """How identity initializers read a convolution kernel as a matrix."""
    stem: KernelStart | None = None
    """The first kernel: the customary start, or IDI."""
    head: KernelStart | None = None
    """The classifier's kernel: the customary start, or IDI."""
    shortcut_start: KernelStart | None = None
    """Projection shortcuts: the customary start, or IDI."""
    tail: Tail | None = None
    """Last kernel of a branch: the customary start; IDIZ 1e-6 as published; IDIZ, or He, under a
    norm scale of 1e-3."""


@dataclass(frozen=True)
class Data:
    """The images a run sees."""

    dataset: str = "digits"
    """digits, or an image classification data set of TensorFlow Datasets by name."""
    image_size: int | None = None
    """Stream from disk, cropped to so many pixels; None holds the whole data set in memory."""
    shrink: int = 1
    """Average every so many by so many pixels to one, once, in memory; 1 for none."""
    batch_size: int = 128
    """Images a step, over all devices."""
    pad: int = 0
    """Pixels of padding before a random crop of the original size; 0 for no crop."""
    flip: bool = False
    """Whether half of the images are flipped left-right."""
    distortions: int = 0
    """RandAugment: random distortions an image, after crop and flip; 0 for none."""
    magnitude: float = 9.0
    """Of each distortion, 0 to 10."""
    train_examples: int | None = None
    """Train on the first so many images only; None for all."""
    validation: float = 0.0
    """Share of the training images held out and evaluated on, instead of the test images."""


@dataclass(frozen=True)
class Optimization:
    """The recipe."""

    optimizer: Literal["sgd", "adamw"] = "sgd"
    """SGD with Nesterov momentum and L2 decay, or AdamW."""
    learning_rate: float = 0.1
    """At the end of the warm-up; falls to 0 as a cosine."""
    momentum: float = 0.9
    """Of SGD, or beta_1 of AdamW."""
    weight_decay: float = 5e-4
    """On kernels only: norms, biases and scalars are left alone."""
    clip: float | None = 10.0
    """Largest global gradient norm; None for no clipping."""
    epochs: float = 200.0
    """Passes over the training images."""
    warmup_epochs: float = 0.0
    """Epochs of linear warm-up, part of `epochs`."""
    label_smoothing: float = 0.0
    """Probability spread evenly over all classes."""
    mixup: float = 0.0
    """Blend pairs of images and labels by shares from Beta(mixup, mixup); 0 for none."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the computation; parameters and statistics stay float32."""


@dataclass(frozen=True)
class TrainConfig:
    """One training run, in everything that decides its numbers."""

    model: Model
    init: Initialization = field(default_factory=Initialization)
    data: Data = field(default_factory=Data)
    optimization: Optimization = field(default_factory=Optimization)
    seed: int = 0
    """Of the initial values, the order of the images and their augmentation."""
    log_steps: int = 10
    """Record the metrics of every so many steps."""
    eval_epochs: int = 1
    """Evaluate after every so many epochs, and at the end."""
    gradient_alarm: float = 1e6
    """Report gradient norms above this."""


@dataclass(frozen=True)
class Execution:
    """Where and how a run is computed; none of it changes the run's numbers but by rounding."""

    run_dir: str | None = None
    """Where the run's files go and where it resumes from; None for runs/NAME/SCHEME-HASH."""
    data_dir: str | None = None
    """Where TensorFlow Datasets prepared its data; None for its own default."""
    parallel: Literal["jit", "pmap"] = "jit"
    """Data parallelism through sharded arrays, or through pmap."""
    devices: int | None = None
    """Use the first so many devices; None for all."""
    checkpoint_steps: int | None = None
    """Save a checkpoint every so many steps besides those after an evaluation."""
    keep_last: int = 2
    """Checkpoints kept besides the best."""
    chunk_seconds: float = 0.5
    """Time between two looks at the metrics, and so the longest wait for an interruption."""
    signal_every: int | None = None
    """Record the signal, layer by layer, at the first step and every so many; None for never."""
    tensorboard: bool = True
    """Whether to write TensorBoard events."""
    progress: bool = True
    """Whether to draw a progress bar."""
    compile_cache: str | None = None
    """Directory of compiled programs to share between runs; None for no cache."""
    distributed: bool = False
    """Whether several processes train together, started alike on every host."""
    coordinator: str | None = None
    """Address of process 0 as HOST:PORT; None where the cluster tells."""
    processes: int | None = None
    """How many processes take part; None where the cluster tells."""
    process: int | None = None
    """Which process this is, from 0; None where the cluster tells."""


def to_json(config: TrainConfig) -> dict[str, Any]:
    """The config as nested plain values, the model's class by name."""
    return {"model_class": type(config.model).__name__, **dataclasses.asdict(config)}


def fingerprint(config: TrainConfig) -> str:
    """Eight hexadecimal digits that tell configs of different content apart.

    >>> fingerprint(TrainConfig(MLP())) == fingerprint(TrainConfig(MLP(), seed=0))
    True
    """
    text = json.dumps(to_json(config), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]
