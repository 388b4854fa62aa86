"""ResNet-56 on CIFAR-10 with SGD (He et al. 2016, section 4.2, under a cosine schedule).

    python -m experiments.train cifar10_resnet56 --scheme idinit

Recipe: Nesterov momentum 0.9, learning rate 0.1, weight decay 5e-4, batch 128, crops of 4 padded
pixels, flips, gradients clipped at norm 10, 200 epochs. The other recipe of the design notes:
``--optimizer adamw --learning-rate 3e-3 --weight-decay 1e-4``. Time: about 12 minutes an epoch on 2
cores. Expected after 200 epochs, from the literature: 93 % from He.
"""

from experiments.config import CifarResNet, Data, Initialization, TrainConfig

CONFIG = TrainConfig(
    model=CifarResNet(depth=56),
    init=Initialization(scheme="he"),
    data=Data(dataset="cifar10", batch_size=128, pad=4, flip=True),
)
