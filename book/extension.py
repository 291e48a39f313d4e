"""What the pages need beyond Jupyter Book: tables made, at each build, from the stored rows of results/."""

import json
from collections import defaultdict
from html import escape
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import Directive

JOINT = ("joint", "flips")  # what rows call the sampler of a joint network
WORTH = 0.1  # dB: a gain below this is not worth more calls


def stored(app, *fields: str) -> list[dict]:
    """All stored rows that have these fields, file by file."""
    files = sorted((Path(app.srcdir) / "results").glob("*.json"))
    return [row for file in files for row in json.loads(file.read_text()) if set(fields) <= set(row)]


def table(head: list[str], rows: list[list], caption: str, sortable: bool = False) -> nodes.raw:
    """A table in HTML; of a cell (shown, key) the key is what it is sorted by."""
    def cell(value) -> str:
        shown, key = value if isinstance(value, tuple) else (value, value)
        number = isinstance(key, int | float)
        words = f' data-key="{key}"' if number else ""
        return f"<td{words}{' class=number' * number}>{escape(str(shown))}</td>"

    def title(name: str) -> str:
        return f"<button type=button>{escape(name)}</button>" if sortable else escape(name)

    top = "".join(f'<th scope="col">{title(name)}</th>' for name in head)
    body = "\n".join("<tr>" + "".join(map(cell, row)) + "</tr>" for row in rows)
    kind = "coldavg-table sortable" if sortable else "coldavg-table"
    return nodes.raw("", f'<div class="coldavg-wide" tabindex="0" role="region" aria-label="{escape(caption)}">'
                     f'<table class="{kind}"><caption>{escape(caption)}</caption><thead><tr>{top}</tr></thead>'
                     f"<tbody>\n{body}\n</tbody></table></div>", format="html")


def number(row: dict, name: str, digits: int) -> tuple[str, float]:
    """A number of a row as it is shown, and as it is sorted."""
    return f"{row[name]:.{digits}f}", row[name]


def shares(weights: list[float] | None) -> str:
    return "equal" if not weights or len(set(weights)) == 1 else ", ".join(f"{weight:.2g}" for weight in weights)


def interval(row: dict, name: str, digits: int) -> str:
    return " to ".join(f"{value:.{digits}f}" for value in row[f"{name}_interval"])


def stamped(row: dict) -> list[str]:
    stamp = row["stamp"]
    return [stamp["commit"], stamp["seed"], stamp["device"], stamp["date"], (stamp["network_sha256"] or "–")[:12],
            ", ".join(file[:12] for file in stamp["data_sha256"]), row["command"]]


STAMP = ["commit", "seed", "device", "date", "network file", "data files", "command"]


class Results(Directive):
    """Every stored row of recovered images, with its stamp."""

    def run(self) -> list[nodes.Node]:
        every = stored(self.state.document.settings.env.app, "sampler", "psnr", "published")
        every.sort(key=lambda row: (row["weights"] is not None, row["published"] != "png"))  # plain averages first
        rows = [[row["data"], row["k"], shares(row["weights"]), shares(row["told"]), row["published"], row["network"],
                 row["sampler"], row["calls"], number(row, "psnr", 2), interval(row, "psnr", 2), number(row, "ssim", 3),
                 number(row, "success", 1), row["tuples"], number(row, "seconds", 3), *stamped(row)]
                for row in every]
        head = ["data", "K", "weights", "told", "published", "network", "sampler", "calls", "PSNR, dB", "interval",
                "SSIM", "%S", "tuples", "s each", *STAMP]
        return [table(head, rows, f"All {len(rows)} rows of recovered images. Press a heading to sort by it.", True)]


class Identities(Directive):
    """Every stored row of re-identification, with its stamp."""

    def run(self) -> list[nodes.Node]:
        rows = [[row["data"], row["network"], row["sampler"], row["tuples"], row["gallery"], number(row, "chance", 1),
                 number(row, "rank1", 1), interval(row, "rank1", 1), number(row, "true_accepts", 1),
                 number(row, "false_accepts", 1), *stamped(row)]
                for row in stored(self.state.document.settings.env.app, "rank1", "command")]
        head = ["data", "network", "what was searched with", "tuples", "gallery", "chance, %", "rank 1, %", "interval",
                "true accepts, %", "false accepts, %", *STAMP]
        return [table(head, rows, "Re-identification by other photographs of the same people.", True)]


class Defences(Directive):
    """Every stored row of a defence, with its stamp."""

    def run(self) -> list[nodes.Node]:
        rows = [[row["data"], row["k"], row["groups"], row["published"], row["attacker"], number(row, "psnr", 2),
                 number(row, "ssim", 3), interval(row, "ssim", 3), number(row, "success", 1),
                 number(row, "average_ssim", 3), number(row, "found", 1),
                 *((f"{row['people'][name]:.1f}", row["people"][name]) if "people" in row else "–"
                   for name in ("average", "recovered")),
                 number(row, "fidelity", 1), number(row, "accuracy", 1) if row["accuracy"] else "–",
                 (f"{row['epsilon']:,.1f}", row["epsilon"]) if "epsilon" in row else "–", row["averages"],
                 row["trained"], row["training_seconds"], row["calls"], *stamped(row)]
                for row in stored(self.state.document.settings.env.app, "attacker")]
        head = ["data", "K", "groups", "published", "attacker", "PSNR, dB", "SSIM", "interval", "%S", "SSIM published",
                "found by search, %", "rank 1 published, %", "rank 1 recovered, %", "fidelity, dB", "use, %", "epsilon",
                "averages", "trained on", "s of training", "calls", *STAMP]
        return [table(head, rows, f"All {len(rows)} rows of defences. Press a heading to sort by it.", True)]


class Benchmark(Directive):
    """Our network beside that of a library: one line for each thing measured."""

    def run(self) -> list[nodes.Node]:
        file = Path(self.state.document.settings.env.app.srcdir) / "benchmarks" / "against_diffusers.json"
        rows = json.loads(file.read_text())
        names = [name for name in rows[0] if name not in ("network", "stamp")]
        lines = [[name.replace("_", " "), *((str(row[name]), row[name]) for row in rows)] for name in names]
        lines += [[name, *(row["stamp"][name] for row in rows)] for name in ("commit", "device", "date")]
        return [table(["measured", *(row["network"] for row in rows)], lines, "One run on one machine.")]


class Choice(Directive):
    """For each image set and K: what to take, and what it reaches, by the stored rows of equal weights and PNG."""

    def run(self) -> list[nodes.Node]:
        groups = defaultdict(list)
        for row in stored(self.state.document.settings.env.app, "sampler", "psnr", "published"):
            if row["published"] == "png" and shares(row["weights"]) == shares(row["told"]) == "equal":
                groups[row["data"], row["k"]].append(row)
        rows = [line for (data, k), group in sorted(groups.items()) if "+" not in data
                for line in choices(data, k, group)]
        head = ["data", "K", "kind", "take", "calls", "PSNR, dB", "average", "%S", "tuples"]
        return [table(head, rows, "What to take, for each image set and K.")]


class Compared(Directive):
    """Attacks on averages of two, set by set, on the same test pairs; the best first."""

    def run(self) -> list[nodes.Node]:
        rows = [row for row in stored(self.state.document.settings.env.app, "sampler", "psnr", "published")
                if row["published"] == "png" and row["k"] == 2 and "+" not in row["data"]
                and shares(row["weights"]) == shares(row["told"]) == "equal"]
        return [compared(data, [row for row in rows if row["data"] == data])
                for data in sorted({row["data"] for row in rows})]


def compared(data: str, rows: list[dict]) -> nodes.raw:
    """The table of one image set: of each attack its best row on the most tuples."""
    most, best = max(row["tuples"] for row in rows), {}
    for row in sorted(rows, key=lambda row: (row["psnr"], -row["calls"])):
        if row["tuples"] == most:
            best[row["network"], row["sampler"] in ("joint", "its own") or row["sampler"]] = row
    lines = [[f"{row['network']}: {row['sampler']}" if row["calls"] else row["sampler"], KNOWS[knowledge(row)],
              row["calls"], number(row, "psnr", 2), interval(row, "psnr", 2), number(row, "ssim", 3),
              number(row, "success", 1)] for row in sorted(best.values(), key=lambda row: -row["psnr"])]
    head = ["attack", "what the attacker owns", "calls", "PSNR, dB", "interval", "SSIM", "%S"]
    return table(head, lines, f"{data}: {most} averages of two, as PNG.")


KNOWS = {"nothing": "the average", "averages": "other averages", "images": "other images of the kind"}


def knowledge(row: dict) -> str:
    """What an attacker had to own, a key of KNOWS."""
    return "nothing" if row["network"] == "none" else "averages" if "averages" in row["network"] else "images"


class Quoted(Directive):
    """Figures of others, with their source and what differs."""

    def run(self) -> list[nodes.Node]:
        rows = [[row["images"], row["k"], row["method"],
                 f"{row['psnr']:.2f}" + (f" ± {row['spread']:.2f}" if row["spread"] else ""),
                 row["differs"], row["source"]] for row in stored(self.state.document.settings.env.app, "differs")]
        head = ["images", "K", "method", "PSNR, dB", "what differs", "where it was read"]
        return [table(head, rows, "Quoted, not measured here.")]


class Reliability(Directive):
    """What was tried against the tool, and how often it went wrong."""

    def run(self) -> list[nodes.Node]:
        rows = [[row["what"], row["tried"], row["failed"], *(row.get(name, "–") for name in FIGURES),
                 *(row["stamp"][name] for name in ("commit", "device", "date"))]
                for row in stored(self.state.document.settings.env.app, "what", "tried", "failed")]
        head = ["what", "tried", "went wrong", "went on", "seconds", "again", "memory, MB", "commit", "device", "date"]
        return [table(head, rows, "What was tried, and how often it went wrong.")]


FIGURES = ("gone_on", "seconds", "seconds_again", "memory_mb")  # of a row of reliability, where it has them


class Plausibility(Directive):
    """How many right and wrong averages are doubted, network by network."""

    def run(self) -> list[nodes.Node]:
        from coldavg.evaluation.plausibility import FILE

        held = json.loads(FILE.read_text()).values() if FILE.exists() else ()
        rows = [[row["network"], row["k"], f"{row['right_doubted']:.1f} ({interval(row, 'right_doubted', 1)})",
                 *((f"{rate:.0f}", rate) for rate in row["wrong_doubted"].values()),
                 "; ".join(row["not_told"]) or "–", row["averages"], row["of_each_wrong_kind"],
                 *(row["stamp"][name] for name in ("commit", "device", "date"))] for row in held]
        head = ["network", "K", "right ones doubted, %", "single pictures, %", "noise, %", "of another kind, %",
                "one more in them, %", "linear light, %", "unequal weights, %", "can't be told", "right ones",
                "of each wrong kind", "commit", "device", "date"]
        return [table(head, rows, "How many averages are doubted.")]


class LaboratoryFigures(Directive):
    """What the laboratory weighs, and how long it takes."""

    def run(self) -> list[nodes.Node]:
        app = self.state.document.settings.env.app
        parts, networks = stored(app, "part", "kilobytes"), stored(app, "quickest", "kilobytes")
        parts = [row for row in parts if row not in networks]
        if not parts:
            return [nodes.note("", nodes.paragraph("", "Sizes and times have not been measured yet."))]
        whole = sum(row["kilobytes"] for row in parts)
        networks = [[row["network"], " × ".join(map(str, row["size"])), row["kilobytes"], number(row, "quickest", 0),
                     number(row, "milliseconds", 0)] for row in networks]
        compared = [[row["calls"], row["pairs"], number(row, "seconds", 1)]
                    for row in stored(app, "part", "calls", "pairs")]
        return [table(["loaded at the start", "kB"], [[row["part"], row["kilobytes"]] for row in parts]
                      + [["together", whole]], "What is loaded when the laboratory is started, as servers pack it."),
                table(["network", "pixels", "kB", "quickest, ms", "median, ms"], networks,
                      "What each network adds, and how long one call of it takes."),
                table(["calls", "pairs", "seconds"], compared, "How long a comparison keeps one core busy.")]


class Laboratory(Directive):
    """The laboratory, or why it is not there."""

    def run(self) -> list[nodes.Node]:
        return [laboratory(Path(self.state.document.settings.env.app.srcdir))]


def laboratory(source: Path) -> nodes.Node:
    """The page of the laboratory, if the build could lay what it runs on under the site; else a note that says why."""
    if (source / "_extra" / "_static" / "lab" / "laboratory.json").exists():
        return nodes.raw("", (source / "book" / "laboratory.html").read_text(), format="html")
    text = "This copy of the book was built without npm, so the laboratory is not in it: build it where npm is."
    return nodes.note("", nodes.paragraph("", text))


def choices(data: str, k: int, group: list[dict]) -> list[list]:
    """Two lines of the table: of joint and of path networks the cheapest row that is near the best."""
    average = max((row for row in group if row["sampler"] == "the average itself"), key=lambda row: row["tuples"])
    lines = []
    for kind in ("joint", "path"):
        rows = [row for row in group if row["calls"] and (row["sampler"] in JOINT) == (kind == "joint")]
        by_count = {count: [row for row in rows if row["tuples"] == count] for count in {row["tuples"] for row in rows}}
        if by_count:  # rows of different tuples are not compared: the count with the most rows, then the most tuples
            compared = max(by_count.items(), key=lambda item: (len(item[1]), item[0]))[1]
            best = max(row["psnr"] for row in compared)
            row = min((row for row in compared if row["psnr"] > best - WORTH), key=lambda row: row["calls"])
            name = "one_step" if kind == "path" and row["calls"] == k - 1 else row["sampler"]  # one call: all are alike
            same = [other for other in rows if (other["network"], other["calls"]) == (row["network"], row["calls"])
                    and other["sampler"] in (name, row["sampler"])]
            row = max(same, key=lambda other: other["tuples"])
            lines.append([data, k, kind, f"{row['network']}: {name}", row["calls"], number(row, "psnr", 1),
                          number(average, "psnr", 1), number(row, "success", 0), row["tuples"]])
    return lines


def setup(app) -> dict:
    for name, directive in {"stored-results": Results, "stored-identities": Identities, "stored-defences": Defences,
                            "choice": Choice, "benchmark": Benchmark, "attacks-compared": Compared,
                            "attacks-quoted": Quoted, "reliability": Reliability,
                             "plausibility": Plausibility, "laboratory": Laboratory,
                             "laboratory-figures": LaboratoryFigures}.items():
        app.add_directive(name, directive)
    return {"parallel_read_safe": True}
