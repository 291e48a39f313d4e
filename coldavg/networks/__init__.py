"""Trained networks: how they are written, the manifest that describes them, and how they are loaded."""

import hashlib
import json
import re
from dataclasses import asdict
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors

from ..imagesets.named import SETS
from ..settings import Settings
from ..support.files import write_atomically
from ..unet import UNet

FOLDER = Path(__file__).parent
# What files of earlier training call by another name; a network that is trained anew no longer needs it
EARLIER = {"images": "mixtures", "rate": "learning_rate", "added": "remainder"}


def manifest() -> dict[str, dict]:
    """What is known of each network in the package: file hash, settings, data, mixtures seen, command."""
    return json.loads((FOLDER / "networks.json").read_text())


def save_network(network: UNet, path: str | Path, **record) -> str:
    """Write `network` (half precision) with its settings and `record` inside; returns the file's SHA-256.

    Of data that are a folder or file only the name is kept: who is sent the network learns no path.
    """
    tensors = {name: tensor.detach().cpu().half().contiguous() for name, tensor in network.state_dict().items()}
    record = record | ({"looks": network.looks} if network.looks else {})
    settings, data = asdict(network.settings), network.settings.data
    notes = {"settings": settings | {"data": Path(data).name or data}, "size": network.size, "record": record}
    notes = {name: json.dumps(note) for name, note in notes.items()}
    notes["sha256"] = json.dumps(digest(notes, tensors))
    content = save_tensors(tensors, metadata={"coldavg": json.dumps(notes)})
    write_atomically(Path(path), content)
    return hashlib.sha256(content).hexdigest()


def digest(notes: dict[str, str], tensors: dict[str, torch.Tensor]) -> str:
    """The SHA-256 of all that a network file says: its notes, and the names, shapes and values of its tensors."""
    hashed = hashlib.sha256(json.dumps([notes[name] for name in ("settings", "size", "record")]).encode())
    for name in sorted(tensors):
        hashed.update(f"{name} {tuple(tensors[name].shape)} {tensors[name].dtype}".encode())
        hashed.update(tensors[name].numpy().tobytes())
    return hashed.hexdigest()


def network_file(name: str | Path) -> Path:
    """The file of a network: of a name in the manifest, or `name` itself if it ends in .safetensors.

    Raises ValueError if the name is unknown, FileNotFoundError if there is no such file.
    """
    known = ", ".join(manifest())
    if str(name).endswith(".safetensors"):
        path = Path(name)
    elif str(name) in manifest():
        path = FOLDER / f"{name}.safetensors"
    else:
        raise ValueError(f"network must be one of {known}, or a .safetensors file of coldavg train; got {str(name)!r}")
    if not path.is_file():
        raise FileNotFoundError(f"network file {str(path)!r} does not exist; the package has the networks {known}")
    return path


def load_network(name: str | Path, device: str | torch.device = "cpu") -> UNet:
    """A trained network, ready to use: a name of the manifest, or a file that `coldavg train` wrote.

    The file of a named network must have the hash that stands in the manifest.  Raises ValueError if the
    name is unknown, or the file is cut short, altered or foreign; FileNotFoundError if there is none.

    >>> load_network("digits-original").target
    'original'
    """
    path = network_file(name)
    content = path.read_bytes()
    expected = manifest().get(str(name), {}).get("sha256")
    if expected is not None and hashlib.sha256(content).hexdigest() != expected:
        raise ValueError(f"network file {path.name} is cut short or altered (its hash is wrong); install coldavg again")
    network, _ = read_network(content, path.name)
    return network.to(device, memory_format=torch.channels_last).eval()


def read_network(content: bytes, name: str) -> tuple[UNet, dict]:
    """The network and its notes from the bytes of a file that `save_network` wrote; `name` serves errors."""
    remedy = "use a whole file that coldavg train wrote"
    try:
        tensors = load_tensors(content)
        length = int.from_bytes(content[:8], "little")
        notes = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["coldavg"])
        held = json.loads(notes.pop("sha256", "null"))  # files of earlier training have none
        if set(notes) != {"settings", "size", "record"} or held not in (None, digest(notes, tensors)):
            raise ValueError("its digest is wrong")
        notes = {key: json.loads(value) for key, value in notes.items()}
        size = notes["size"] and tuple(notes["size"])
        if size is not None and not (len(size) == 2 and all(type(side) is int and side > 0 for side in size)):
            raise ValueError(f"its size is {size}")
        if not all(tensor.isfinite().all() for tensor in tensors.values()):
            raise ValueError("it holds NaN or infinity")
        notes = renew(notes)
        network = UNet(Settings(**notes["settings"]), size)
        network.load_state_dict({key: tensor.float() for key, tensor in tensors.items()})
        network.looks = notes["record"].get("looks", network.looks)  # how often it is best asked
        if type(network.looks) is not int or (network.looks > 0) != (network.settings.looks > 0) or network.looks < 0:
            raise ValueError(f"its looks are {network.looks!r}")
    except (SafetensorError, LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise ValueError(f"network file {name} is cut short, altered or foreign ({reason}); {remedy}") from None
    return network, notes


def renew(notes: dict) -> dict:
    """The notes of a network file in today's words: the names of settings, a target, and the options of its command."""
    settings = {EARLIER.get(name, name): value for name, value in notes["settings"].items()}
    settings["target"] = EARLIER.get(settings["target"], settings["target"])
    record = {"mixtures_seen" if name == "images" else name: value for name, value in notes["record"].items()}
    if "command" in record:
        record["command"] = re.sub(r"(?<=--)(images|rate)(?= )|(?<=--target )added|(?<=digits-)added",
                                   lambda found: EARLIER[found[0]].replace("_", "-"), record["command"])
    return notes | {"settings": settings, "record": record}


def unfit(network: UNet, data: str, shape: tuple[int, int]) -> str:
    """What a network was not trained for, of images (H, W) of this set, in words; "" if nothing is known against it."""
    trained, said = network.settings.data.removesuffix("-full"), []
    if network.size is not None and tuple(network.size) != tuple(shape):
        (tall, wide), (height, width) = network.size, shape
        said.append(f"images of {wide} x {tall} pixels, not {width} x {height}")
    if trained in SETS and trained != data.removesuffix("-full"):
        said.append(f"{trained}, not {data}")
    return f"this network was trained for {' and for '.join(said)}" if said else ""
