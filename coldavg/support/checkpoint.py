"""Checkpoints: the state of a training run in one safetensors file, whole or not at all."""

import json
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from .files import list_changes, write_atomically

CHECKPOINT = "checkpoint.safetensors"


def write_checkpoint(file: Path, notes: dict, parts: dict[str, dict[str, Tensor]]) -> None:
    """Write `notes` (of JSON's kinds) and the tensors of each part; an older checkpoint stands until this one does."""
    tensors = {f"{part}.{name}": tensor.cpu().contiguous()
               for part, held in parts.items() for name, tensor in held.items()}
    write_atomically(file, save(tensors, metadata={"coldavg": json.dumps(notes)}))


def read_checkpoint(file: Path, settings: dict) -> tuple[dict, dict[str, dict[str, Tensor]]]:
    """The notes and the tensors of each part; ValueError if the file is cut short, none of ours, or of other settings.

    `settings` are those that the notes must have under "settings"; what an older file does not name is not compared.
    """
    try:
        with safe_open(file, "pt") as held:
            notes = json.loads(held.metadata()["coldavg"])
            parts: dict[str, dict[str, Tensor]] = {}
            for name in held.keys():
                part, rest = name.split(".", 1)
                parts.setdefault(part, {})[rest] = held.get_tensor(name)
    except (SafetensorError, LookupError, TypeError, ValueError) as error:
        raise ValueError(f"checkpoint {file} is cut short or foreign ({error}); delete it to start anew") from None
    if other := list_changes(settings | notes["settings"], settings):
        raise ValueError(f"checkpoint {file} is of other settings ({other}); "
                         "use those, choose another place, or delete it to start anew")
    return notes, parts
