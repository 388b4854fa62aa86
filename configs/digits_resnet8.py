"""ResNet-8 on scikit-learn's bundled digits: needs no download, a minute on 2 cores.

python -m experiments.train digits_resnet8 --scheme idinit
"""

from experiments.config import CifarResNet, Data, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=CifarResNet(depth=8),
    init=Initialization(scheme="idinit"),
    data=Data(dataset="digits", batch_size=64, pad=1),
    optimization=Optimization(epochs=10, learning_rate=0.05),
)
