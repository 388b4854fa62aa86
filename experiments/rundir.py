"""The directory of a run: which config owns it, and where it lies unless told."""

import json
from pathlib import Path
from typing import Any

from experiments.config import TrainConfig, fingerprint, to_json

CONFIG = "config.json"


def default_directory(name: str, config: TrainConfig) -> Path:
    """``runs/NAME/SCHEME-FINGERPRINT``: the same command finds its run again."""
    return Path("runs", name, f"{config.init.scheme}-{fingerprint(config)}")


def claim(run_dir: Path, config: TrainConfig) -> None:
    """Make the directory of a run, or check that it holds this very run.

    Raises:
        ValueError: if it holds a run of another config; the message names what differs.
    """
    run_dir.mkdir(parents=True, exist_ok=True)
    path, new = run_dir / CONFIG, to_json(config)
    if path.exists():
        old = json.loads(path.read_text())
        differences = differing(old, json.loads(json.dumps(new)))
        if differences:
            raise ValueError(
                f"{run_dir} holds a run of another config: {', '.join(differences)}; "
                "choose another --run-dir"
            )
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(new, indent=2) + "\n")
    draft.replace(path)


def differing(old: Any, new: Any, name: str = "") -> list[str]:
    """One text for each field of nested dictionaries that differs."""
    if isinstance(old, dict) and isinstance(new, dict):
        fields = sorted(old.keys() | new.keys())
        return [
            text
            for field in fields
            for text in differing(old.get(field), new.get(field), f"{name}.{field}".lstrip("."))
        ]
    return [] if old == new else [f"{name} was {old!r} and is {new!r}"]
