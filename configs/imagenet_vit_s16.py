"""ViT-S/16 on ImageNet (Beyer et al. 2022, "Better plain ViT baselines", arXiv 2205.01580).

    python -m experiments.train imagenet_vit_s16 --scheme idinit --data-dir DIR

Recipe: mean pooling, sine and cosine positions, AdamW at 1e-3 after 8 epochs of warm-up, weight
decay 0.1 (the paper's 1e-4 is not multiplied by the learning rate), gradients clipped at norm 1,
batch 1024, random crops of 224 pixels and flips, RandAugment of 2 distortions at 10, mixup 0.2,
bfloat16, 90 epochs. The data set is streamed: prepare imagenet2012 as array_record with TensorFlow
Datasets first. Time: hours on eight accelerators. Expected, from the paper: 76 % top-1.
"""

from experiments.config import Data, Initialization, Optimization, TrainConfig, VisionTransformer

CONFIG = TrainConfig(
    model=VisionTransformer(size="S", patch=16, position="sincos"),
    init=Initialization(scheme="xavier"),
    data=Data(
        dataset="imagenet2012", image_size=224, batch_size=1024, distortions=2, magnitude=10.0
    ),
    optimization=Optimization(
        optimizer="adamw",
        learning_rate=1e-3,
        weight_decay=0.1,
        clip=1.0,
        epochs=90,
        warmup_epochs=8,
        mixup=0.2,
        precision="bfloat16",
    ),
)
