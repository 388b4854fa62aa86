"""ViT-Ti with patches of 4 pixels on CIFAR-10, from nothing.

    python -m experiments.train cifar10_vit_tiny4 --scheme idinit --data-dir DIR

Recipe, that of Touvron et al. 2021 (arXiv 2012.12877) made lighter: AdamW at 1e-3 after 10 epochs
of warm-up, weight decay 0.05, gradients clipped at norm 1, batch 256, crops of 4 padded pixels,
flips, RandAugment of 2 distortions, mixup 0.2, label smoothing 0.1, stochastic depth 0.1, 200
epochs. Made for an accelerator; on a CPU ``--shrink 2 --depth 6 --train-examples 5000`` gives a
first look. Not run in full here.
"""

from experiments.config import Data, Initialization, Optimization, TrainConfig, VisionTransformer

CONFIG = TrainConfig(
    model=VisionTransformer(size="Ti", patch=4, stochastic_depth=0.1),
    init=Initialization(scheme="xavier"),
    data=Data(dataset="cifar10", batch_size=256, pad=4, flip=True, distortions=2),
    optimization=Optimization(
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.05,
        clip=1.0,
        warmup_epochs=10,
        label_smoothing=0.1,
        mixup=0.2,
    ),
)
