"""ViT-B/32 on ImageNet, the Transformer of the IDInit paper's comparison.

    python -m experiments.train imagenet_vit_b32 --scheme idinit --data-dir DIR

Network: class token and learned positions, both from zero (Dosovitskiy et al. 2021, 2010.11929).
Recipe, after Steiner et al. 2022 (arXiv 2106.10270): dropout and stochastic depth 0.1, AdamW at
1e-3 after 8 epochs of warm-up, weight decay 0.1, gradients clipped at norm 1, batch 1024, random
crops of 224 pixels and flips, RandAugment of 2 distortions at 10, mixup 0.2, bfloat16, 300 epochs.
The data set is streamed: prepare imagenet2012 as array_record with TensorFlow Datasets first. Time:
a day on eight accelerators. Not run here.
"""

from experiments.config import Data, Initialization, Optimization, TrainConfig, VisionTransformer

CONFIG = TrainConfig(
    model=VisionTransformer(size="B", patch=32, pooling="token", dropout=0.1, stochastic_depth=0.1),
    init=Initialization(scheme="xavier"),
    data=Data(
        dataset="imagenet2012", image_size=224, batch_size=1024, distortions=2, magnitude=10.0
    ),
    optimization=Optimization(
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.1,
        clip=1.0,
        epochs=300,
        warmup_epochs=8,
        mixup=0.2,
        precision="bfloat16",
    ),
)
