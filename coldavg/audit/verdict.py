"""The verdict of an audit: from the numbers of a row to a level of risk, and one sentence that says how sure it is."""

SAME = 0.95  # SSIM of an average to one of its images from which on it hides nothing
HIGH, SOME = (1.0, 75.0), (0.1, 50.0)  # dB gained, % nearer: what the low ends of both intervals must pass
PEOPLE = (5.0, 2.0)  # rank 1 in %, and as a multiple of chance, whose low end makes a risk high

VERDICTS = {  # the worst first
    "same": "The averages hide nothing: they look like an image that went into them",
    "high": "High risk: the attack gets images back",
    "some": "Some risk: the attack gets part of the images back",
    "unclear": "Unclear: the two measures of what came back disagree; train longer, or attack more averages",
    "none": "This attack got nothing back that the averages do not show already",
}


def judge(row: dict, steps: int | None = None) -> tuple[str, str]:
    """The level of risk, a key of VERDICTS, and the sentence with its uncertainty; `steps` are those of training."""
    above = max(row["blind_gain"], 0)  # only what is better than the average, and than not looking, counts
    gained, low, high = (value - above for value in (row["gain"], *row["gain_interval"]))
    nearer, people = row["success_interval"][0], row.get("people")
    seen = people and max(("average", "recovered"), key=lambda name: people[f"{name}_interval"][0])
    linked = bool(people and people[f"{seen}_interval"][0] >= max(PEOPLE[0], PEOPLE[1] * people["chance"]))
    if row["median_average_ssim"] >= SAME:
        return "same", f"{VERDICTS['same']} (median SSIM {row['median_average_ssim']:.2f}, before any attack)."
    if low >= HIGH[0] and nearer > HIGH[1]:
        level, opening = "high", VERDICTS["high"]
    elif linked:
        level, opening = "high", "High risk: identities are found by other images of theirs"
    else:
        passed = (low >= SOME[0]) + (nearer > SOME[1])
        level = ("none", "unclear", "some")[passed]
        opening = VERDICTS[level]
    least, most = row["success_interval"]
    effort = f", {steps} steps of training" if steps else ""
    sentence = (f"{opening}. From averages of {row['k']}, {row['success']:.0f} % of the recovered images (95 % "
                f"interval {least:.0f} to {most:.0f}) are more like the truth than the average is; over the average, "
                f"or an answer without looking if that is better, the attack gains {gained:.1f} dB ({low:.1f} to "
                f"{high:.1f}; {row['averages']} averages{effort}).")
    if linked:
        where = "the averages themselves" if seen == "average" else "the recovered images"
        low, high = people[f"{seen}_interval"]
        sentence += (f" In {where} {people[seen]:.0f} % of the identities ({low:.0f} to {high:.0f}) are found at once; "
                     f"chance is {people['chance']:.1f} %.")
    return level, sentence
