"""A multilayer perceptron on Fashion-MNIST.

    python -m experiments.train fashion_mnist_mlp --scheme idinit

Recipe: three hidden layers of 256, SGD with Nesterov momentum 0.9, learning rate 0.05, batch 128,
20 epochs. Time: 2 minutes on 2 cores. Expected: 89 to 90 % of the test images.
"""

from experiments.config import MLP, Data, Initialization, Optimization, TrainConfig

CONFIG = TrainConfig(
    model=MLP(features=(256, 256, 256)),
    init=Initialization(scheme="he"),
    data=Data(dataset="fashion_mnist", batch_size=128),
    optimization=Optimization(learning_rate=0.05, epochs=20),
)
