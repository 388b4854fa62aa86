"""ResNet-110 on CIFAR-10 with SGD (He et al. 2016, section 4.2, under a cosine schedule).

    python -m experiments.train cifar10_resnet110 --scheme idinit

Recipe: Nesterov momentum 0.9, learning rate 0.1, weight decay 5e-4, batch 128, crops of 4 padded
pixels, flips, gradients clipped at norm 10, 200 epochs. The other recipe of the design notes:
``--optimizer adamw --learning-rate 3e-3 --weight-decay 1e-4``. Time: about 25 minutes an epoch on 2
cores. Expected after 200 epochs, from the literature: 93.5 % from He, which needs the warm-up.
"""

from experiments.config import CifarResNet, Data, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=CifarResNet(depth=110),
    init=Initialization(scheme="he"),
    data=Data(dataset="cifar10", batch_size=128, pad=4, flip=True),
    optimization=Optimization(warmup_epochs=1.0),
)
