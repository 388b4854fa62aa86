"""What a user sees before calling anything: names, and what an import costs."""

import configparser
import subprocess
import sys
from pathlib import Path

import idinit_jax

HEAVY = ("tensorflow", "tensorflow_datasets", "orbax", "matplotlib", "equinox", "haiku", "grain")


def test_every_public_name_is_there():
    missing = [name for name in idinit_jax.__all__ if not hasattr(idinit_jax, name)]
    assert not missing


def test_no_module_shadows_the_initializer_lsuv(key):
    assert idinit_jax.lsuv()(key, (4, 4)).shape == (4, 4)


def test_importing_the_core_pulls_in_nothing_heavy():
    listing = f"import sys, idinit_jax; print([m for m in {HEAVY} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", listing], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "[]"


def test_the_oldest_versions_are_the_lower_bounds():
    root = Path(__file__).parent.parent
    setup = configparser.ConfigParser()
    setup.read(root / "setup.cfg")
    bounds = setup["options"]["install_requires"].split()
    lines = (root / "tests" / "oldest.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    jaxlib = next(pin for pin in pins if pin.startswith("jax==")).replace("jax", "jaxlib")
    assert {pin.replace("==", ">=") for pin in pins if pin != jaxlib} == set(bounds)
    assert jaxlib in pins
