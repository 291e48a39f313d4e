"""The report of an audit: one page of HTML that needs nothing else, on a screen or on paper."""

from html import escape

from matplotlib.figure import Figure

from ..support.figures import lines, show
from ..support.pixels import embedded, png

STYLE = """
:root { color-scheme: light dark; --ink: #1a1a1a; --paper: #fff; --soft: #f2f2f0; --line: #c9c9c4;
  --same: #7a1fa2; --high: #b3261e; --some: #8a5a00; --unclear: #5b6770; --none: #2e6b34 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8e8e4; --paper: #16181a; --soft: #212427; --line: #45494d;
  --same: #d9a6f0; --high: #ff9d94; --some: #f0c067; --unclear: #a9b4bd; --none: #9ad6a0 } }
body { font: 16px/1.55 system-ui, sans-serif; color: var(--ink); background: var(--paper); max-width: 54rem;
  margin: 0 auto; padding: 1.5rem 1rem 4rem }
h1 { font-size: 1.2rem; margin: 0 0 1rem } h2 { font-size: 1.1rem; margin: 2.2rem 0 .5rem }
.verdict { border-left: .5rem solid; padding: .8rem 1.1rem; background: var(--soft); font-size: 1.25rem }
.same { border-color: var(--same) } .high { border-color: var(--high) } .some { border-color: var(--some) }
.none { border-color: var(--none) } .few, .unclear { border-color: var(--unclear) }
figure { margin: 1rem 0; overflow-x: auto } img { background: #fff; max-width: 100%; height: auto; display: block }
figcaption, .small { font-size: .9rem }
.table { overflow-x: auto } table { border-collapse: collapse; font-variant-numeric: tabular-nums; width: 100% }
th, td { text-align: left; padding: .35rem .7rem .35rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
code { font-size: .9em; overflow-wrap: anywhere; white-space: pre-wrap } ul { padding-left: 1.2rem }
@media (max-width: 34rem) { figure img { max-width: none; width: 40rem } th, td { font-size: .85rem } }
@media print { body { max-width: none; padding: 0 } h2 { break-after: avoid } figure, tr { break-inside: avoid } }
"""
NAMES = {"random": "formed at random", "nearest": "of the most alike images (as k-same anonymisation forms them)"}
RISKS = {"same": "nothing hidden", "high": "high", "some": "some", "unclear": "unclear", "none": "nothing got back",
         "few": "too few to say"}
CASES = ("the average of which most came back", "the median", "the average of which least came back")
ALIKE = 0.8  # SSIM of an average to a stranger's image from which on SSIM says little
SHOWN = 4  # images of an average that are drawn


def page(found: dict, cases: list[dict]) -> str:
    """The report as HTML, from what `audit` found and the pictures of its cases, one for each K."""
    plan, images, attacker, rows = found["plan"], found["images"], found["attacker"], found["results"]
    title = f"Is this averaging safe? An audit of {escape(images['source'])}"
    parts = [
        f'<p class="verdict {found["verdict"]["level"]}">{escape(found["verdict"]["sentence"])}</p>',
        "<ul>" + "".join(f"<li>{escape(line)}</li>" for line in found["verdict"]["headline"]) + "</ul>",
        '<p class="small">A failed attack is no proof of safety: somebody with more images, more time or a better '
        "method may get back what this one did not.</p>",
        "<h2>What was read</h2>", read(images),
        "<h2>What came back</h2>", pictures(cases[0]),
        "<h2>In numbers</h2>", numbers(rows), curve(rows),
        "<h2>Are identities found?</h2>", people(rows),
        "<h2>Without any network</h2>", without_network(rows), crowds(found["crowds"]),
        "<h2>What the attacker was, and had to know</h2>", attacked_by(attacker),
        "<h2>What was audited</h2>", audited(plan, images),
        "<h2>What this audit can't say</h2>", limits(images, rows),
        "<h2>To get the same numbers again</h2>", f"<p><code>{escape(found['command'])}</code></p>",
        f'<p class="small">{escape(", ".join(f"{key} {value}" for key, value in found["stamp"].items()))}</p>',
    ]
    return (f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<style>{STYLE}</style></head>\n<body><h1>{title}</h1>\n" + "\n".join(parts) + "\n</body></html>\n")


def drawing(figure: Figure, alt: str, caption: str = "") -> str:
    """A figure as part of the page."""
    return (f'<figure><img alt="{escape(alt)}" src="{embedded(png(figure, dpi=120))}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>")


def table(head: list[str], body: list[list[str]]) -> str:
    """A table of texts."""
    cells = ["".join(f"<th scope=col>{escape(cell)}</th>" for cell in head)]
    cells += ["".join(f"<td>{escape(cell)}</td>" for cell in row) for row in body]
    return f'<div class="table"><table>{"".join(f"<tr>{row}</tr>" for row in cells)}</table></div>'


def with_interval(row: dict, name: str, digits: int = 1, unit: str = "") -> str:
    """A score with its interval."""
    low, high = row[f"{name}_interval"]
    return f"{row[name]:.{digits}f}{unit} ({low:.{digits}f} to {high:.{digits}f})"


def pictures(case: dict) -> str:
    """The three cases: true images, the average, what was recovered."""
    k = min(case["truth"].shape[1], SHOWN)
    rows = [[*truth[:k], average, *recovered[:k]] for truth, average, recovered in
            zip(case["truth"], case["published"], case["recovered"])]
    columns = ["true"] * k + ["published"] + ["recovered"] * k
    captions = [[""] * (k + 1) + [f"{psnr:.1f} dB" for psnr in psnrs[:k]] for psnrs in case["psnr"]]
    more = f" Of each average {SHOWN} images are drawn." if case["truth"].shape[1] > SHOWN else ""
    return drawing(show(rows, columns, ["most", "median", "least"], captions),
                   "True images, their average, and what was recovered from it, for three averages",
                   f"From top to bottom: {'; '.join(CASES)} (by SSIM).{more}")


def numbers(rows: list[dict]) -> str:
    """PSNR, SSIM and success of the attack for each K, beside those of the averages themselves."""
    body = [[str(row["k"]), with_interval(row, "psnr"), with_interval(row, "ssim", 2), with_interval(row, "success", 0),
             f"{row['average_psnr']:.1f} / {row['average_ssim']:.2f}", with_interval(row, "gain"),
             f"{row['blind_gain']:+.1f}", str(row["averages"]), RISKS[row["level"]]] for row in rows]
    head = ["K", "PSNR in dB", "SSIM", "% more like the truth", "the average itself, dB / SSIM", "dB gained over it",
            "dB without looking", "averages", "risk"]
    return table(head, body) + (
        '<p class="small">In brackets: 95 % bootstrap intervals over averages. K is the number of images in an '
        "average. Higher PSNR and SSIM: more came back; SSIM 1 is the image itself. More like the truth: by SSIM, than "
        "the average is. Without looking: what is gained over the average by an answer that was made for another one, "
        "or by the mean of all images, whichever gains more.</p>")


def curve(rows: list[dict]) -> str:
    """How the risk changes with K, if there are several."""
    if len(rows) < 2:
        return ""
    rows = sorted(rows, key=lambda row: row["k"])
    ks = [row["k"] for row in rows]
    figure = lines({"recovered": (ks, [row["ssim"] for row in rows]),
                    "the average itself": (ks, [row["average_ssim"] for row in rows])},
                   "images in an average, K", "SSIM")
    figure.axes[0].set_xticks(ks)
    return drawing(figure, "SSIM of the recovered images and of the average itself, against K",
                   "How the risk changes with the number of images in an average.")


def people(rows: list[dict]) -> str:
    """Re-identification by other images, against chance, the average itself and the images themselves."""
    asked = [row for row in rows if row["people"]]
    if not asked:
        return f"<p>Not asked: {escape(rows[0]['people_why'])}.</p>"
    head = ["K", "chance", "in the average itself", "in what was recovered", "in the true images", "identities"]
    body = [[str(row["k"]), f"{row['people']['chance']:.1f}",
             *(with_interval(row["people"], name) for name in ("average", "recovered", "clean")),
             str(row["people"]["gallery"])]
            for row in asked]
    return table(head, body) + (
        '<p class="small">Rank 1 in %: how often the nearest of all identities, each shown by one <em>other</em> '
        f"image, is the right one. Recogniser: {escape(asked[0]['people']['recogniser'])}. Where the true images are "
        "hardly found either, this recogniser can say nothing.</p>")


def without_network(rows: list[dict]) -> str:
    """The search among candidates."""
    found_of = "; ".join(f"averages of {row['k']}: {with_interval(row, 'found', 0)} %" for row in rows)
    return (f"<p>Somebody who holds an archive of {rows[0]['archive']} images, those averaged among them, searches "
            f"for those whose average is nearest to the published one. Found were, of the images in {escape(found_of)}."
            " The search takes all weights for equal. Where that is much, averaging protects nobody whose images are "
            f"in an archive.</p>{members(rows)}")


def members(rows: list[dict]) -> str:
    """The test of somebody who holds one image, where it was asked."""
    named = "; ".join(f"averages of {row['k']}: {with_interval(row, 'named', 0)} %" for row in rows if "named" in row)
    return named and (
        "<p>Somebody who holds one image alone, and knows what such images are like, asks whether it is in an average. "
        f"Named were, of the images in {escape(named)}, where 1 % of all other images are named wrongly.</p>")


def crowds(rows: list[dict]) -> str:
    """The same question about averages of many more images."""
    body = [[str(row["k"]), with_interval(row, "named"), f"{row['expected']:.1f}"] for row in rows]
    return "" if not rows else (
        "<p>And if many more were averaged? Who holds one image names, of the members of plain averages of your images:"
        f"</p>{table(['K', '% of members named', 'expected of Gaussian images'], body)}"
        '<p class="small">1 % of all others are named wrongly, so 1 is chance. It falls with K, not to nothing at '
        "once: many values are many pieces of evidence. No network takes such averages apart.</p>")


def attacked_by(attacker: dict) -> str:
    """What the attacker was, and had to know."""
    facts = [f"{key.replace('_', ' ')}: {value}" for key, value in attacker.items()
             if key not in ("knew", "caution") and value]
    knew = "".join(f"<li>{escape(item)}</li>" for item in attacker["knew"])
    caution = f"<p><strong>Caution:</strong> {escape(attacker['caution'])}.</p>" if attacker["caution"] else ""
    return f"<p>{escape('; '.join(facts))}.</p><p>The attacker had to know:</p><ul>{knew}</ul>{caution}"


def audited(plan: dict, images: dict) -> str:
    """The images and how they were averaged."""
    sizes = " to ".join(dict.fromkeys(f"{wide} x {tall}" for wide, tall in images["sizes"]))
    weights = ", ".join(map(str, plan["weights"])) if plan["weights"] else "equal"
    facts = [f"{images['audited']} images of {images['identities']} identities, none among those learned from",
             f"images of {sizes} pixels, made square by {plan['fit']} and used at "
             f"{images['used'][0]} x {images['used'][1]}",
             f"averages that exist, of {plan['k'][0]} members each, as a table says" if plan["averages"] else
             f"groups {NAMES[plan['groups']]}, weights {weights}, published as {plan['published']}"]
    return "<ul>" + "".join(f"<li>{escape(fact)}</li>" for fact in facts) + "</ul>"


def read(images: dict) -> str:
    """The fate of every file: warnings in plain sight, all else behind a click."""
    warned = [words for name, words in images["read"].items() if name.startswith("warning")]
    rows = [[name, words] for name, words in images["read"].items() if not name.startswith("warning")]
    warnings = "".join(f"<p><strong>Warning:</strong> {escape(words)}.</p>" for words in warned)
    every = table(["what", "found"], rows)
    return f"{warnings}<details open><summary>Every file and its fate</summary>{every}</details>"


def limits(images: dict, rows: list[dict]) -> str:
    """What must not be concluded."""
    points = ["It is one attack. That it failed, where it did, does not show that none succeeds; that it succeeded "
              "shows that at least one does.",
              "An attacker with more images of the kind, or more training, gets more back, hardly less.",
              "Means hide the worst case: look at the first row of pictures above."]
    if images["reduced"]:
        wide, tall = images["used"]
        points.append(f"Your images are larger than {wide} x {tall} and were reduced: what finer detail would give "
                      "away was not tried. Try a larger --size.")
    if max(images["sizes"][1]) < max(images["used"]):
        points.append("Your images are smaller than that and were enlarged; say their own --size.")
    if (alike := rows[0]["median_stranger_ssim"]) > ALIKE:
        points.append(f"To images that are not in it an average has an SSIM of {alike:.2f} too: most of a picture is "
                      "ground that all share. Go by the other numbers, and try --fit stretch or crop beside this.")
    if rows[0]["averages"] < 50:
        points.append(f"Only {rows[0]['averages']} averages were attacked: the intervals are wide. Audit more images.")
    if rows[0]["people"] and rows[0]["people"]["gallery"] < 50:
        points.append(f"Only {rows[0]['people']['gallery']} identities could be searched for: how often they are found "
                      "is less certain than the intervals say.")
    return "<ul>" + "".join(f"<li>{escape(point)}</li>" for point in points) + "</ul>"
