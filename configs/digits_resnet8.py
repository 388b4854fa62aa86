"""ResNet-8 on scikit-learn's bundled digits: needs no download.

    python -m experiments.train digits_resnet8

Network: He et al. 2016, section 4.2, one block a stage. Time: half a minute on 2 cores, most of it
compilation. Expected: above 95 % of the test digits.
"""

from experiments.config import CifarResNet, Data, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=CifarResNet(depth=8),
    init=Initialization(scheme="idinit"),
    data=Data(dataset="digits", batch_size=64, pad=1),
    optimization=Optimization(epochs=15, learning_rate=0.1),
)
