"""Network files: whole ones come back as they were; others are refused in one line; the manifest tells the truth."""

import hashlib
import json
import shlex
from dataclasses import asdict

import numpy as np
import pytest
import torch
from safetensors.torch import save

from coldavg import Settings, UNet, load_network
from coldavg.cli import parser
from coldavg.networks import FOLDER, manifest, network_file, read_network, renew, save_network

small = Settings(widths=(8, 16), target="difference", mixtures=7)


@pytest.fixture
def file(tmp_path):
    save_network(UNet(small, (12, 10)), tmp_path / "n.safetensors", mixtures_seen=7, command="by hand")
    return tmp_path / "n.safetensors"


def test_a_network_comes_back_as_it_was(file):
    network, again = UNet(small, (12, 10)), load_network(file)
    assert again.settings == small
    assert (again.target, again.k, again.alpha_max, again.size) == ("difference", 2, 0.8, (12, 10))
    assert not again.training
    for (name, parameter), loaded in zip(network.named_parameters(), again.parameters()):
        assert torch.equal(parameter.half().float(), loaded), name
    assert [path.name for path in file.parent.iterdir()] == [file.name], "no part is left behind"


def test_how_often_a_network_is_best_asked_is_kept(tmp_path):
    network = UNet(Settings(widths=(8,), target="joint", looks=2))
    network.looks = 5
    save_network(network, tmp_path / "n.safetensors")
    again = load_network(tmp_path / "n.safetensors")
    assert again.looks == 5 and again.settings.looks == 2
    for wrong in (0, -1, "many", 2.5):
        network.looks = wrong
        save_network(network, tmp_path / "n.safetensors", looks=wrong)
        with pytest.raises(ValueError, match="its looks are"):
            load_network(tmp_path / "n.safetensors")


def damage(content, how):
    return {
        "empty": b"", "cut short": content[:-100], "cut in its header": content[:40], "text": b"not a network " * 50,
        "foreign": save({"weight": torch.zeros(3)}),
        "with notes of another kind": save({"weight": torch.zeros(3)}, {"coldavg": "[1, 2]"}),
        "of other settings": content.replace(b"[8, 16]", b"[8, 24]"),
        "of settings that can not be": content.replace(b"difference", b"diffErence"),
    }[how]


@pytest.mark.parametrize("how", ["empty", "cut short", "cut in its header", "text", "foreign", "of other settings",
                                 "with notes of another kind", "of settings that can not be"])
def test_a_damaged_or_foreign_file_is_refused_in_one_line(file, how):
    before = file.read_bytes()
    file.write_bytes(damage(before, how))
    assert file.read_bytes() != before
    with pytest.raises(ValueError, match="n.safetensors is cut short, altered or foreign") as caught:
        load_network(file)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_a_file_with_any_one_bit_changed_is_refused(file):
    content, rng = file.read_bytes(), np.random.default_rng(0)
    for bit in rng.integers(8 * len(content), size=300).tolist():
        changed = bytearray(content)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(ValueError, match="cut short, altered or foreign"):
            read_network(bytes(changed), "n.safetensors")
    read_network(content, "n.safetensors")


def test_a_network_of_nan_is_refused(tmp_path):
    network = UNet(small, (12, 10))
    with torch.no_grad():
        network.last.bias.fill_(float("nan"))
    save_network(network, tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_network(tmp_path / "n.safetensors")


def test_a_named_network_must_have_the_hash_of_the_manifest(monkeypatch, tmp_path):
    name = next(iter(manifest()))
    content = bytearray((FOLDER / f"{name}.safetensors").read_bytes())
    content[-1] ^= 1  # one bit of one parameter: still a network, but another
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    (tmp_path / "networks.json").write_text((FOLDER / "networks.json").read_text())
    monkeypatch.setattr("coldavg.networks.FOLDER", tmp_path)
    with pytest.raises(ValueError, match="its hash is wrong"):
        load_network(name)


def test_unknown_names_list_what_there_is(tmp_path):
    with pytest.raises(ValueError, match="digits-joint, digits-original.*'digits-jiont'"):
        load_network("digits-jiont")
    with pytest.raises(FileNotFoundError, match="does not exist.*digits-joint"):
        load_network(tmp_path / "none.safetensors")


@pytest.mark.parametrize("name", list(manifest()))
def test_the_manifest_tells_the_truth(name):
    entry, file = manifest()[name], network_file(name)
    assert hashlib.sha256(file.read_bytes()).hexdigest() == entry["sha256"]
    assert file.stat().st_size < 6e6
    network = load_network(name)
    settings = Settings(**entry["settings"])
    assert (network.target, network.k, network.size) == (settings.target, settings.k, tuple(entry["size"]))
    assert {"mixtures_seen", "seconds", "precision", "device", "command"} <= set(entry)
    assert f"--target {settings.target}" in entry["command"]
    assert any(f"--{option} {settings.data}" in entry["command"] for option in ("data", "from-averages"))


def test_every_network_file_is_in_the_manifest():
    files = list(FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} == set(manifest()) and sum(path.stat().st_size for path in files) < 70e6


@pytest.mark.parametrize("name", [name for name in manifest() if "data_sha256" in manifest()[name]])
def test_the_command_of_a_network_says_its_settings(name):
    entry = manifest()[name]
    words = shlex.split(entry["command"])[1:]
    options = parser(words).parse_args(words)
    told = {key: value for key, value in vars(options).items() if key in entry["settings"] and value is not None}
    told |= {"widths": list(told["widths"]), "data": options.from_averages or options.data}
    assert told == {key: entry["settings"][key] for key in told} and len(told) > 10
    ended = entry["seconds"] >= options.seconds  # by the clock, as was asked
    assert options.out.stem == name and (ended or entry["mixtures_seen"] >= options.mixtures)


def in_earlier_words(content):
    """A file of `save_network` as it was written before settings and the target `remainder` had today's names."""
    length = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + length])
    notes = {key: json.loads(note) for key, note in json.loads(header["__metadata__"]["coldavg"]).items()}
    del notes["sha256"]  # earlier files hold no digest of themselves
    notes["settings"] |= {"images": notes["settings"].pop("mixtures"), "rate": notes["settings"].pop("learning_rate"),
                          "target": "added"}
    notes["record"] = {"images": 8, "seconds": 3, "command": "coldavg train --data digits --target added --images 7 "
                       "--rate 0.002 --widths 8,16 --out digits-added.safetensors"}
    header["__metadata__"]["coldavg"] = json.dumps({key: json.dumps(note) for key, note in notes.items()})
    packed = json.dumps(header).encode()
    packed += b" " * (-len(packed) % 8)
    return len(packed).to_bytes(8, "little") + packed + content[8 + length :]


def test_a_file_of_earlier_words_is_read_in_todays(tmp_path):
    settings = Settings(widths=(8, 16), target="remainder", mixtures=7, learning_rate=0.002)
    file, network = tmp_path / "n.safetensors", UNet(settings)
    save_network(network, file)
    content = in_earlier_words(file.read_bytes())
    file.write_bytes(content)
    again = load_network(file)
    assert again.settings == settings and again.target == "remainder"
    for parameter, loaded in zip(network.parameters(), again.parameters()):
        assert torch.equal(parameter.half().float(), loaded)
    _, notes = read_network(content, file.name)
    assert Settings(**notes["settings"]) == settings and notes["record"] == {
        "mixtures_seen": 8, "seconds": 3, "command": "coldavg train --data digits --target remainder --mixtures 7 "
        "--learning-rate 0.002 --widths 8,16 --out digits-remainder.safetensors"}
    words = shlex.split(notes["record"]["command"])[1:]
    options = parser(words).parse_args(words)
    assert (options.mixtures, options.learning_rate, options.target) == (7, 0.002, "remainder")


def test_todays_words_stay_as_they_are():
    command = "coldavg train --data images --target joint --mixtures 7 --start my-added.safetensors --out rate"
    notes = {"settings": asdict(small), "size": None, "record": {"mixtures_seen": 7, "command": command}}
    assert renew(notes) == notes
