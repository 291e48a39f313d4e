"""Network files: whole ones come back as they were; others are refused in one line; the manifest tells the truth."""

import hashlib
import shlex

import pytest
import torch
from safetensors.torch import save

from coldavg import Settings, load_network, manifest
from coldavg.cli import parser
from coldavg.pretrained import FOLDER, network_file, save_network

small = Settings(widths=(8, 16), target="difference", images=7)


@pytest.fixture
def file(tmp_path):
    save_network(small.network((12, 10)), small, tmp_path / "n.safetensors", images=7, command="by hand")
    return tmp_path / "n.safetensors"


def test_a_network_comes_back_as_it_was(file):
    network, again = small.network((12, 10)), load_network(file)
    assert (again.target, again.k, again.alpha_max, again.size) == ("difference", 2, 0.8, (12, 10))
    assert not again.training
    for (name, parameter), loaded in zip(network.named_parameters(), again.parameters()):
        assert torch.equal(parameter.half().float(), loaded), name
    assert [path.name for path in file.parent.iterdir()] == [file.name], "no part is left behind"


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


def test_a_network_of_nan_is_refused(tmp_path):
    network = small.network((12, 10))
    with torch.no_grad():
        network.last.bias.fill_(float("nan"))
    save_network(network, small, tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match="NaN or infinity"):
        load_network(tmp_path / "n.safetensors")


def test_a_named_network_must_have_the_hash_of_the_manifest(monkeypatch, tmp_path):
    name = next(iter(manifest()))
    content = bytearray((FOLDER / f"{name}.safetensors").read_bytes())
    content[-1] ^= 1  # one bit of one parameter: still a network, but another
    (tmp_path / f"{name}.safetensors").write_bytes(content)
    (tmp_path / "networks.json").write_text((FOLDER / "networks.json").read_text())
    monkeypatch.setattr("coldavg.pretrained.FOLDER", tmp_path)
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
    assert {"images", "seconds", "precision", "device", "command"} <= set(entry)
    assert f"--target {settings.target}" in entry["command"] and f"--data {settings.data}" in entry["command"]


def test_every_network_file_is_in_the_manifest():
    files = list(FOLDER.glob("*.safetensors"))
    assert {path.stem for path in files} == set(manifest()) and sum(path.stat().st_size for path in files) < 55e6


@pytest.mark.parametrize("name", [name for name in manifest() if "data_sha256" in manifest()[name]])
def test_the_command_of_a_network_says_its_settings(name):
    entry = manifest()[name]
    options = parser().parse_args(shlex.split(entry["command"])[1:])
    told = {key: value for key, value in vars(options).items() if key in entry["settings"] and value is not None}
    told["widths"] = list(told["widths"])
    assert told == {key: entry["settings"][key] for key in told} and len(told) > 10
    assert options.out.stem == name and entry["images"] >= options.images
