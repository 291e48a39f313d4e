"""Write what the laboratory of the book runs on: python scripts/export_laboratory.py FOLDER

For every network of the package that takes two images apart: its file as it is shipped, and beside it its graph
(ONNX), which reads the parameters, in half precision, out of that very file.  And laboratory.json: the facts about
the networks, the text of the samplers and of the functions that walk with them, a shelf of unseen digits.  Nothing is
written where scripts/fetch_packages.py laid no runtime into FOLDER.
"""

import ast
import base64
import inspect
import io
import json
import re
import shutil
import sys
import warnings
from pathlib import Path

import nbformat
import numpy as np
import onnx
import torch

from coldavg import SAMPLERS, UNet, joint, load, load_network, mixing, unmixing
from coldavg.imagesets import draw_tuples
from coldavg.imagesets.named import BUNDLED
from coldavg.networks import manifest, network_file
from coldavg.support.pixels import to_8_bits
from coldavg.teach import oracle, workshop

ROOT = Path(__file__).parent.parent
PAIRS = 20  # unseen pairs on which samplers are compared: the first of the protocol
BEYOND = {"heun": "book/add_your_own.md", "boxed": "notebooks/*-sampler-workshop.ipynb"}  # samplers that pages show
HALF, FLOAT = onnx.TensorProto.FLOAT16, onnx.TensorProto.FLOAT
WALK = (  # what of the package runs in the page, as its text stands, on _static/lab/small_torch.py
    mixing.on_path, mixing.check_target, mixing.say, mixing.complete, mixing.project, mixing.keep_in_range, joint.split,
    unmixing.peel, unmixing.follow, oracle.Oracle, oracle.Known, workshop.Waves, workshop.find_properties,
    workshop.largest_error, workshop.equal, workshop.describe_end)
PARAMETERS = "parameters"  # what a graph calls the file that holds them


def takes_two(network: UNet) -> bool:
    """Whether a network takes two images apart, of a size that is known: only such a one is traced."""
    return network.size is not None and (network.target != "joint" or network.k == 2)


def trace(network: UNet) -> onnx.ModelProto:
    """The graph of a network, for batches of any length, its parameters inside."""
    (height, width), channels = network.size, network.channels
    x, alpha = torch.zeros(2, channels, height, width), torch.full((2,), 0.5)
    inputs = {"x": x, "alpha": alpha} | ({"last": x[:, None].repeat(1, network.k, 1, 1, 1)} if network.looks else {})
    file = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter that traces is the old one, and ten times as fast
        torch.onnx.export(network, tuple(inputs.values()), file, dynamo=False, input_names=list(inputs),
                          output_names=["answer"], dynamic_axes={name: {0: "batch"} for name in [*inputs, "answer"]},
                          opset_version=18, do_constant_folding=False)
    return onnx.load_from_string(file.getvalue())


def point_at(model: onnx.ModelProto, content: bytes) -> onnx.ModelProto:
    """The graph with its parameters taken out: it finds them in `content`, a file that `save_network` wrote.

    Raises ValueError if one is not there in half precision.
    """
    start = 8 + int.from_bytes(content[:8], "little")
    held = json.loads(content[8:start])
    casts, parameters = [], list(model.graph.initializer)
    del model.graph.initializer[:]
    for whole in parameters:
        place = held.get(whole.name, {})
        if place.get("dtype") != "F16" or place["shape"] != list(whole.dims):
            raise ValueError(f"{whole.name} is not in the network's file in half precision, which holds {place}")
        half = model.graph.initializer.add(name=f"{whole.name}.half", dims=whole.dims, data_type=HALF,
                                           data_location=onnx.TensorProto.EXTERNAL)
        first, end = place["data_offsets"]
        for key, value in (("location", PARAMETERS), ("offset", start + first), ("length", end - first)):
            half.external_data.add(key=key, value=str(value))
        casts.append(onnx.helper.make_node("Cast", [half.name], [whole.name], to=FLOAT))
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(casts + nodes)
    return model


def describe(name: str, network: UNet) -> dict:
    """What the page must know of a network to ask it as `unmix` does."""
    return {"name": name, "k": 2} | {
        key: getattr(network, key) for key in ("target", "channels", "size", "looks", "exact", "weights")}


def samplers() -> dict[str, str]:
    """The text of every sampler: the built-in ones as they stand in samplers.py, then those of BEYOND, with helpers."""
    texts = {name: inspect.getsource(chosen.step) for name, chosen in SAMPLERS.items()}
    for name, pattern in BEYOND.items():
        page, = ROOT.glob(pattern)
        code, = (piece for piece in pieces(page) if f'sampler("{name}"' in piece)
        parts = [node for node in ast.parse(code).body if isinstance(node, ast.FunctionDef)]
        lines = code.splitlines()
        texts[name] = "\n\n\n".join("\n".join(lines[(part.decorator_list or [part])[0].lineno - 1 : part.end_lineno])
                                    for part in parts) + "\n"
    return texts


def pieces(page: Path) -> list[str]:
    """The pieces of Python that a page shows."""
    if page.suffix == ".ipynb":
        return [cell.source for cell in nbformat.read(page, 4).cells if cell.cell_type == "code"]
    return re.findall(r"^```python\n(.*?)^```", page.read_text(), re.S | re.M)


def shelf() -> dict:
    """Unseen digits: those of the first pairs of the protocol, by class; and these pairs, the brighter digit first."""
    images = load("digits", "test")
    tuples = draw_tuples(len(images), 2, PAIRS)
    with np.load(BUNDLED) as arrays:
        labels = arrays["test_labels"]
    indices = sorted(tuples.flatten().tolist(), key=lambda index: (labels[index], index))
    pairs = [[indices.index(index) for index in (two if mixing.brightest_first(images[two])[0].equal(images[two[0]])
                                                 else two.flip(0)).tolist()] for two in tuples]
    pixels = base64.b64encode(to_8_bits(images[indices]).numpy().tobytes()).decode()
    return {"indices": indices, "labels": labels[indices].tolist(), "pixels": pixels, "pairs": pairs}


def main(folder: Path) -> None:
    if not (folder / "micropython.wasm").exists():
        return
    networks = []
    for name in manifest():
        network = load_network(name)
        if takes_two(network):
            content = network_file(name).read_bytes()
            (folder / f"{name}.onnx").write_bytes(point_at(trace(network), content).SerializeToString())
            shutil.copy(network_file(name), folder)
            networks.append(describe(name, network))
    known = {"networks": networks, "samplers": samplers(), "builtIn": workshop.BUILT_IN, "shelf": shelf(),
             "package": "\n\n".join(map(inspect.getsource, WALK))}
    (folder / "laboratory.json").write_text(json.dumps(known))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
