"""Which code made a number: a hash of the sources that decide it, and the git commit."""

import hashlib
import subprocess
from importlib.metadata import version
from pathlib import Path

import experiments
import idinit_jax

LIBRARIES = ("jax", "jaxlib", "flax", "optax")
ELSEWHERE = ("compare", "studies")
"""Parts of experiments/ that say which runs are made, and nothing about their numbers."""


def code_version() -> str:
    """Ten hexadecimal digits: of the sources of the library and of training, and of JAX and kin."""
    digest = hashlib.sha256()
    for source in deciding_sources():
        digest.update(f"{source.parent.name}/{source.name}\0".encode())
        digest.update(source.read_bytes())
    for library in LIBRARIES:
        digest.update(f"{library} {version(library)}\0".encode())
    return digest.hexdigest()[:10]


def deciding_sources() -> list[Path]:
    """Every source file on which the numbers of a run may depend, in a fixed order."""
    found = []
    for package in (idinit_jax, experiments):
        root = Path(package.__path__[0])
        files = (path.relative_to(root) for path in root.rglob("*.py"))
        found += [root / path for path in sorted(files) if path.parts[0] not in ELSEWHERE]
    return found


def git_commit() -> str:
    """The commit of the checkout, "+" where files differ from it; "unknown" outside of git."""
    root = Path(experiments.__path__[0]).parent
    try:
        commit, changed = (
            subprocess.run(
                ["git", "-C", str(root), *words], check=True, capture_output=True, text=True
            ).stdout.strip()
            for words in (["rev-parse", "--short=10", "HEAD"], ["status", "--porcelain", "-uno"])
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return commit + ("+" if changed else "")
