"""A multilayer perceptron on scikit-learn's bundled digits: needs no download.

    python -m experiments.train digits_mlp

Network: two hidden layers of 64. Time: seconds. Expected: above 95 % of the test digits.
"""

from experiments.config import MLP, Data, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=MLP(features=(64, 64)),
    init=Initialization(scheme="idinit"),
    data=Data(dataset="digits", batch_size=64),
    optimization=Optimization(epochs=30, learning_rate=0.1),
)
