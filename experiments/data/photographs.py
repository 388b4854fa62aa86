"""Crops of photographs of any size, on the host."""

import math

import cv2
import numpy as np

_AREA = (0.08, 1.0)
_ASPECT = (3 / 4, 4 / 3)
_ATTEMPTS = 10
_CENTRAL_FRACTION = 224 / 256


def random_crop(image: np.ndarray, size: int, rng: np.random.Generator) -> np.ndarray:
    """A random part of an image, resized to a square, mirrored half of the time.

    The part covers a share of the area uniform on (0.08, 1) with an aspect ratio log-uniform on
    (3/4, 4/3); if ten draws do not fit into the image, it is the largest central square. Szegedy et
    al., "Going Deeper with Convolutions", CVPR 2015, section 6.

    Args:
        image: uint8 (H, W, C).
        size: height and width of the result in pixels.
        rng: drawn from.

    Returns:
        uint8 (size, size, C).
    """
    top, left, height, width = _random_box(image.shape[0], image.shape[1], rng)
    crop = _resize(image[top : top + height, left : left + width], size)
    return np.ascontiguousarray(crop[:, ::-1]) if rng.random() < 0.5 else crop


def central_crop(image: np.ndarray, size: int) -> np.ndarray:
    """The central square with 7/8 of the shorter side, resized to uint8 (size, size, C).

    At size 224 the same as resizing the shorter side to 256 and cropping.
    """
    top, left, side = _central_square(image.shape[0], image.shape[1], _CENTRAL_FRACTION)
    return _resize(image[top : top + side, left : left + side], size)


def _random_box(height: int, width: int, rng: np.random.Generator) -> tuple[int, int, int, int]:
    for _ in range(_ATTEMPTS):
        area = height * width * rng.uniform(*_AREA)
        aspect = math.exp(rng.uniform(*np.log(_ASPECT)))
        box_height, box_width = round(math.sqrt(area / aspect)), round(math.sqrt(area * aspect))
        if 0 < box_height <= height and 0 < box_width <= width:
            top = int(rng.integers(height - box_height + 1))
            left = int(rng.integers(width - box_width + 1))
            return top, left, box_height, box_width
    top, left, side = _central_square(height, width, 1.0)
    return top, left, side, side


def _central_square(height: int, width: int, fraction: float) -> tuple[int, int, int]:
    side = max(1, round(fraction * min(height, width)))
    return (height - side) // 2, (width - side) // 2, side


def _resize(image: np.ndarray, size: int) -> np.ndarray:
    # Area averaging does not alias when it shrinks; OpenCV drops an axis of one channel.
    shrinks = min(image.shape[:2]) > size
    method = cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR
    return cv2.resize(image, (size, size), interpolation=method).reshape(size, size, -1)
