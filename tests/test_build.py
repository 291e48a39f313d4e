"""What the build of the book adds: formulas from a package whose hash is known, tables from stored rows."""

import importlib.util
import tarfile
from pathlib import Path

import pytest

from scripts import fetch_mathjax

ROOT = Path(__file__).parent.parent


@pytest.fixture
def extension():
    spec = importlib.util.spec_from_file_location("extension", ROOT / "book" / "extension.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_another_package_than_the_pinned_one_is_refused(tmp_path):
    with tarfile.open(tmp_path / "x.tgz", "w:gz"):
        pass
    with pytest.raises(ValueError, match="not used"):
        fetch_mathjax.lay(tmp_path / "x.tgz", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_only_what_pages_need_is_unpacked_and_nothing_lands_outside(tmp_path, monkeypatch):
    names = ["package/es5/tex-mml-chtml.js", "package/es5/output/chtml/fonts/woff-v2/a.woff", "package/LICENSE",
             "package/es5/other.js", "package/../../out.js"]
    (tmp_path / "empty").write_bytes(b"")
    with tarfile.open(tmp_path / "x.tgz", "w:gz") as package:
        for name in names:
            package.add(tmp_path / "empty", name)
    monkeypatch.setattr(fetch_mathjax, "SHA256", fetch_mathjax.hashlib.sha256((tmp_path / "x.tgz").read_bytes())
                        .hexdigest())
    fetch_mathjax.lay(tmp_path / "x.tgz", tmp_path / "a" / "b")
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()} - {"empty", "x.tgz"}
    assert found == {"a/b/tex-mml-chtml.js", "a/b/output/chtml/fonts/woff-v2/a.woff", "a/b/LICENSE"}


def test_without_npm_the_build_says_so_and_the_pages_ask_the_cdn(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("PATH", str(tmp_path))
    fetch_mathjax.main(tmp_path / "mathjax")
    assert "public CDN" in capsys.readouterr().out
    assert f"mathjax@{fetch_mathjax.VERSION}" in (tmp_path / "mathjax" / fetch_mathjax.ENTRY).read_text()


def row(sampler, calls, psnr, tuples=100, network="digits-original"):
    return {"sampler": sampler, "calls": calls, "psnr": psnr, "tuples": tuples, "network": network, "success": 90.0}


def test_the_choice_is_the_cheapest_row_near_the_best_of_equal_tuples(extension):
    group = [row("the average itself", 0, 15.0, 1000, "none"), row("search", 0, 17.0, 1000, "best-pair"),
             row("joint", 1, 28.0, 1000, "digits-joint"), row("flips", 2, 28.05, 1000, "digits-joint"),
             row("one_step", 1, 22.0), row("cold", 5, 22.45), row("cold", 20, 22.5), row("resolve", 625, 23.0, 20)]
    joint, path = extension.choices("digits", 2, group)
    assert joint[3] == "digits-joint: joint" and joint[4] == 1 and joint[6] == ("15.0", 15.0)
    assert path[3] == "digits-original: cold" and path[4] == 5 and path[8] == 100
