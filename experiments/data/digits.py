"""The handwritten digits that come with scikit-learn: real images that need no download."""

import numpy as np

from experiments.data.arrays import ArrayData, Dataset, describe, split_validation


def load_digits() -> Dataset:
    """1,797 handwritten digits of 8 x 8 pixels, 1,438 to train and 359 to test, 10 classes.

    Grey levels 0 .. 16 are scaled to 0 .. 255. The split is fixed and stratified.
    """
    # Imported here because it takes longer than loading any other data set from its cache.
    from sklearn.datasets import load_digits as load_bundled

    bundled = load_bundled()
    images = np.rint(bundled.images[..., None] * (255 / 16)).astype(np.uint8)
    data = ArrayData(images, bundled.target.astype(np.int32))
    train, test = split_validation(data, fraction=0.2, seed=0)
    return Dataset(describe("digits", 10, train, test), train, test)
