"""How fast data sets are decoded, read back decoded, and streamed: one JSON line.

python -m benchmarks.data_decoding cifar10 --data-dir ~/tensorflow_datasets
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Callable

import cv2
import numpy as np

from experiments.data import load, train_stream
from experiments.data.photographs import random_crop

STREAMED_BATCHES, BATCH = 40, 128


def timed(function: Callable[[], int]) -> tuple[float, float]:
    """Seconds that the function takes, and images a second; it gives the number of images."""
    start = time.perf_counter()
    count = function()
    seconds = time.perf_counter() - start
    return seconds, count / seconds


def count_loaded(name: str, data_dir: str | None) -> int:
    info = load(name, data_dir).info
    return info.train_size + info.test_size


def count_streamed(name: str, data_dir: str | None) -> int:
    stream = train_stream(name, batch_size=BATCH, image_size=32, seed=0, data_dir=data_dir)
    batches = iter(stream)
    return sum(len(next(batches).labels) for _ in range(STREAMED_BATCHES))


def count_photographs() -> int:
    """Decode and crop one JPEG of ImageNet's usual size in this thread."""
    rng = np.random.default_rng(0)
    smooth = cv2.resize(rng.integers(0, 256, (47, 63, 3), dtype=np.uint8), (500, 375))
    encoded = cv2.imencode(".jpg", smooth)[1]
    for _ in range(200):
        photograph = cv2.imdecode(encoded, cv2.IMREAD_COLOR_RGB)
        assert photograph is not None
        random_crop(photograph, 224, rng)
    return 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="data set with images of one size")
    parser.add_argument("--data-dir", help="where TensorFlow Datasets prepared it")
    options = parser.parse_args()
    name, data_dir = options.name, options.data_dir
    with tempfile.TemporaryDirectory() as cache:
        os.environ["XDG_CACHE_HOME"] = cache
        rows = {
            "decode": timed(lambda: count_loaded(name, data_dir)),
            "read": timed(lambda: count_loaded(name, data_dir)),
            "stream": timed(lambda: count_streamed(name, data_dir)),
            "photograph_one_thread": timed(count_photographs),
        }
    rates = {
        what: {"seconds": seconds, "images_per_second": rate}
        for what, (seconds, rate) in rows.items()
    }
    ratio = rows["decode"][0] / rows["read"][0]
    print(
        json.dumps({"dataset": name, "cores": os.cpu_count(), **rates, "decode_over_read": ratio})
    )


if __name__ == "__main__":
    main()
