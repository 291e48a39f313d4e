"""Reports of any numbers and names, for the tests and for scripts/fuzz.py."""

import json
from dataclasses import asdict
from html.parser import HTMLParser
from unittest import mock

from hypothesis import strategies as st

from coldavg.audit import Plan, report
from coldavg.audit.run import write_report
from coldavg.audit.verdict import VERDICTS, headline, judge

PERCENT = st.floats(0, 100)
NAME = st.text(st.characters() | st.sampled_from("<>&\"'\udce9\n"), min_size=1, max_size=12)  # \udce9: no UTF-8


def score(name, values):
    """A number and its interval."""
    return st.tuples(values, values, values).map(lambda ends: {name: sorted(ends)[1], f"{name}_interval":
                                                               [min(ends), max(ends)]})


def merged(*parts):
    return st.tuples(*parts).map(lambda held: {key: value for each in held for key, value in each.items()})


PEOPLE = merged(*(score(name, PERCENT) for name in ("clean", "average", "recovered")),
                st.fixed_dictionaries({"chance": PERCENT, "gallery": st.integers(3, 999), "averages":
                                       st.integers(2, 99), "recogniser": NAME}))
ROW = merged(*(score(name, PERCENT) for name in ("success", "found", "psnr", "average_psnr")),
             *(score(name, st.floats(-1, 1)) for name in ("ssim", "average_ssim")), score("gain", st.floats(-50, 50)),
             st.just({}) | score("named", PERCENT),
             st.fixed_dictionaries({"k": st.integers(2, 16), "averages": st.integers(2, 999), "archive":
                                    st.integers(2, 999), "blind_gain": st.floats(-50, 50), "people_why": NAME,
                                    "median_average_ssim": st.floats(-1, 1),
                                    "median_stranger_ssim": st.floats(-1, 1), "people": st.none() | PEOPLE}))


@st.composite
def found_by_chance(draw):
    """What an audit may have found, before it is judged."""
    files = st.dictionaries(NAME, NAME, max_size=5)
    crowd = {"k": 30, "expected": draw(PERCENT)} | draw(score("named", PERCENT))
    return {"plan": asdict(Plan("x")), "crowds": draw(st.sampled_from([[], [crowd]])),
            "command": draw(NAME), "stamp": {"date": "x"}, "results": draw(st.lists(ROW, min_size=1, max_size=3)),
            "images": {"source": draw(NAME), "audited": 3, "identities": 3, "sizes": [[1, 2], [3, 4]], "used": [8, 8],
                       "reduced": draw(st.booleans()), "read": draw(files) | {"warning 1": draw(NAME)}},
            "attacker": {"kind": draw(NAME), "knew": draw(st.lists(NAME, max_size=3)), "caution": draw(NAME)}}


def check_report(found, folder):
    """The files of a report are strict JSON and UTF-8, and no name becomes a part of the page's code."""
    for row in found["results"]:
        row["level"], row["sentence"] = judge(row)
        assert row["level"] in VERDICTS and "nan" not in row["sentence"]
    found["verdict"] = {"level": row["level"], "sentence": row["sentence"], "headline": headline(found["results"])}
    with mock.patch.object(report, "pictures", return_value=""), mock.patch.object(report, "curve", return_value=""):
        write_report(found, [{}], folder)
    kept = json.loads((folder / "report.json").read_text(), parse_constant=lambda word: 1 / 0)
    assert kept["results"][0]["gain"] == found["results"][0]["gain"]
    seen = set()
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.add(tag)
    parser.feed((folder / "report.html").read_text(encoding="utf-8"))
    assert seen <= {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "ul", "li", "strong", "em",
                    "div", "table", "tr", "th", "td", "details", "summary", "code"}, seen
