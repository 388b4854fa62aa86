"""Small prepared data sets are made where the tests of data make them."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "data"))
