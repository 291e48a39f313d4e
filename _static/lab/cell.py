"""The cell that does in a notebook what the page does; run by MicroPython in the page, and by the tests."""

import json


def write_cell(told, sampler):
    """The text of the cell, of the state of the page's form (JSON): its fields, and `files`, `facts` of the network."""
    state = json.loads(told)
    facts, own, joint = state["facts"], state["kind"] == "pictures", state["facts"]["target"] == "joint"
    drawn = not own and not (state["first"] + state["second"]).isdigit()
    noise, weight = float(state["noise"]), float(state["weight"])

    def image(digit, file):
        if own:
            fit = f"Fit({facts['size'][0]}, {facts['channels']})"
            return f"from_8_bits(torch.tensor(decode(Path({file!r}).read_bytes(), {fit}).values)).movedim(-1, 0)"
        if digit.isdigit():
            return f'ca.load("digits")[{digit}]'
        levels = f'torch.tensor([*zlib.decompress(base64.urlsafe_b64decode("{digit}==="))])'
        return f"from_8_bits({levels}).reshape(1, 28, 28)"

    files = state["files"] + ["", ""]
    weights = f"[{weight}, {round(1 - weight, 2)}]"
    how = [] if joint else [f'"{sampler}"']
    how += [f"steps={state['steps']}"] if not joint or facts["looks"] else []
    how += [] if joint else [f"weights={weights}"]
    lines = ["import base64", "import zlib", ""] if drawn else ["from pathlib import Path", ""] if own else []
    lines += ["import torch", "from torch import Tensor", "", "import coldavg as ca",
              "from coldavg import Step, on_path, sampler"]
    if own:
        lines += ["from coldavg.imagesets.pictures import Fit", "from coldavg.imagesets.reading import decode"]
    lines += ["from coldavg.support.pixels import from_8_bits"] if own or drawn else []
    lines += [] if joint else ["", "", state["code"].strip(), ""]
    lines += ["", f"first = {image(state['first'], files[0])}", f"second = {image(state['second'], files[1])}",
              "pair = ca.brightest_first(torch.stack([first, second]))", f"mixture = ca.mix(pair, {weights})"]
    if noise:
        lines += ["noise = torch.randn(mixture.shape, generator=torch.Generator().manual_seed(0))",
                  f"mixture = mixture + {noise} * noise"]
    lines += ["mixture = ca.round_to_8_bits(mixture)" if state["round"] else "mixture = mixture.clamp(-1, 1)",
              f'network = ca.load_network("{facts["name"]}")',
              f"result = ca.unmix({', '.join(['mixture', 'network'] + how)})",
              'scores = ca.score(result.images[None], pair[None], mixture[None])["psnr"]',
              'print(f"{result.calls} calls, {scores.mean():.2f} dB")']
    return "\n".join(lines) + "\n"
