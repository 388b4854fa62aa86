"""The handwritten digits that come with scikit-learn: real images that need no download."""

import numpy as np

from experiments.data.arrays import ArrayData, Dataset, describe, split_validation


def load_digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels in 10 classes, 1,438 to train and 359 to test.

    Grey levels 0 .. 16 are scaled to 0 .. 255. The split is fixed and stratified.
    """
    # Imported here: it takes more than a second, which other data sets need not pay.
    from sklearn import datasets

    pixels, targets = datasets.load_digits(return_X_y=True)
    images = np.rint(np.reshape(pixels, (-1, 8, 8, 1)) * (255 / 16)).astype(np.uint8)
    data = ArrayData(images, np.asarray(targets, np.int32))
    train, test = split_validation(data, fraction=0.2, seed=0)
    return Dataset(describe("digits", 10, train, test), train, test)
