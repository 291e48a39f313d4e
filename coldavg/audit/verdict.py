"""The verdict of an audit: from the numbers of a row to a level of risk, and one sentence that says how sure it is."""

SAME = 0.95  # of the way from the SSIM of a stranger's image to 1: an average that is so like its image hides nothing
HIGH, SOME = (1.0, 75.0), (0.1, 50.0)  # dB gained, % nearer: what the low ends of both intervals must pass
LEAST = 10  # averages: of fewer nothing is said with confidence
WIDE = 40.0  # % that an interval may span which says "nothing": beyond, there is too little to say
PEOPLE = (5.0, 2.0)  # rank 1 in %, and as a multiple of chance, whose low end makes a risk high

VERDICTS = {  # the worst first
    "same": "The averages hide nothing: they look like an image that went into them",
    "high": "High risk: the attack gets images back",
    "some": "Some risk: the attack gets part of the images back",
    "unclear": "Unclear: the two measures of what came back disagree; train longer, or attack more averages",
    "few": "Too few averages to say: the intervals hold both nothing and high risk; audit more images",
    "none": "This attack got nothing back that the averages do not show already",
}


def judge(row: dict, steps: int | None = None) -> tuple[str, str]:
    """The level of risk, a key of VERDICTS, and the sentence with its uncertainty; `steps` are those of training."""
    above = max(row["blind_gain"], 0)  # only what is better than the average, and than not looking, counts
    gained, low, high = (value - above for value in (row["gain"], *row["gain_interval"]))
    nearer, people = row["success_interval"][0], row.get("people")
    seen = people and max(("average", "recovered"), key=lambda name: people[f"{name}_interval"][0])
    linked = bool(people and people[f"{seen}_interval"][0] >= max(PEOPLE[0], PEOPLE[1] * people["chance"]))
    own, other = row["median_average_ssim"], max(row["median_stranger_ssim"], 0)
    if own - other >= SAME * (1 - other) > 0:
        return "same", (f"{VERDICTS['same']} (median SSIM {own:.2f}, where images that are not in them have "
                        f"{other:.2f}; before any attack).")
    if low >= HIGH[0] and nearer > HIGH[1]:
        level, opening = "high", VERDICTS["high"]
    elif linked:
        level, opening = "high", "High risk: identities are found by other images of theirs"
    else:
        passed = (low >= SOME[0]) + (nearer > SOME[1])
        level = ("none", "unclear", "some")[passed]
        if level != "some" and high >= HIGH[0] and row["success_interval"][1] > HIGH[1]:
            level = "few"
        opening = VERDICTS[level]
    least, most = row["success_interval"]
    effort = f", {steps} steps of training" if steps else ""
    sentence = (f"{opening}. From averages of {row['k']}, {row['success']:.0f} % of the recovered images (95 % "
                f"interval {least:.0f} to {most:.0f}) are more like the truth than the average is; over the average, "
                f"or an answer without looking if that is better, the attack gains {gained:z.1f} dB ({low:z.1f} to "
                f"{high:z.1f}; {row['averages']} averages{effort}).")
    if linked:
        where = "the averages themselves" if seen == "average" else "the recovered images"
        low, high = people[f"{seen}_interval"]
        sentence += (f" In {where} {people[seen]:.0f} % of the identities ({low:.0f} to {high:.0f}) are found at once; "
                     f"chance is {people['chance']:.1f} %.")
    return level, sentence


def headline(rows: list[dict]) -> list[str]:
    """What matters most, of the worst number of images in an average each: pictures, people, an archive, members."""
    picture = max(rows, key=lambda row: row["success_interval"][0])
    least, most = picture["success_interval"]
    said = [f"Pictures got back: {picture['success']:.0f} % of the recovered images ({least:.0f} to {most:.0f}) are "
            f"more like the truth than the average is{too_few(least, most, HIGH[1], picture['averages'])}."]
    asked = [(row["people"], name) for row in rows if row["people"] for name in ("average", "recovered")]
    if asked:
        people, name = max(asked, key=lambda each: each[0][f"{each[1]}_interval"][0])
        low, high = people[f"{name}_interval"]
        where = "the averages themselves" if name == "average" else "the recovered images"
        needed = max(PEOPLE[0], PEOPLE[1] * people["chance"])
        said.append(f"People found: {people[name]:.0f} % ({low:.0f} to {high:.0f}) at once in {where}, chance is "
                    f"{people['chance']:.1f} %{too_few(low, high, needed, people['averages'])}.")
    else:
        said.append(f"People found: not asked, for {rows[0]['people_why']}.")
    archive = max(rows, key=lambda row: row["found_interval"][0])
    low, high = archive["found_interval"]
    said.append(f"Images found by whoever holds an archive with them in it: {archive['found']:.0f} % ({low:.0f} to "
                f"{high:.0f}), without any network{too_few(low, high, 50, archive['averages'])}.")
    if named := [row for row in rows if "named" in row]:
        most = max(named, key=lambda row: row["named_interval"][0])
        low, high = most["named_interval"]
        said.append(f"Members named by whoever holds one picture, and knows what such pictures are like: "
                    f"{most['named']:.0f} % ({low:.0f} to {high:.0f}), where 1 % of all others are accused"
                    f"{too_few(low, high, 50, most['averages'])}.")
    return said


def too_few(low: float, high: float, needed: float, averages: int) -> str:
    """A remark where there are few averages, or an interval holds both what is a danger and what is none, and is wide.

    Where all of few turn out alike, a bootstrap interval is a point, and says more than is known.
    """
    return ": too few to say" if averages < LEAST or low < needed <= high and high - low > WIDE else ""
