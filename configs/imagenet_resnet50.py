"""ResNet-50 on ImageNet (Goyal et al. 2017, arXiv 1706.02677, at 90 epochs with a cosine).

    python -m experiments.train imagenet_resnet50 --scheme idinit --data-dir DIR

Recipe: Nesterov momentum 0.9, batch 1024, learning rate 0.4 after 5 epochs of warm-up, weight decay
1e-4, label smoothing 0.1, random crops of 224 pixels and flips, bfloat16. The data set is streamed:
prepare imagenet2012 as array_record with TensorFlow Datasets first. Time: hours on eight
accelerators. Expected, from the literature: 76 to 77 % top-1 from He.
"""

from experiments.config import Data, ImageNetResNet, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=ImageNetResNet(depth=50),
    init=Initialization(scheme="he"),
    data=Data(dataset="imagenet2012", image_size=224, batch_size=1024),
    optimization=Optimization(
        learning_rate=0.4,
        weight_decay=1e-4,
        clip=None,
        epochs=90,
        warmup_epochs=5,
        label_smoothing=0.1,
        precision="bfloat16",
    ),
)
