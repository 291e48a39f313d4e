"""The reader's sampler, taken for a walk by the package's own functions, whose text is run after this.

What is here is what these functions find in the package around them.
"""

import json
from collections import namedtuple

TARGETS = ("original", "remainder", "difference")
Guess = namedtuple("Guess", ("original", "remainder"))
Point = namedtuple("Point", ("alpha", "x", "original", "remainder"))
Result = namedtuple("Result", ("images", "calls", "trajectory"))
Finding = namedtuple("Finding", ("holds", "words"))
Sampler = namedtuple("Sampler", ("name", "step", "partner", "steps"))
SAMPLERS, TEXTS, BUILT_IN = {}, {}, []


class Network:
    """As coldavg.predictor.Network."""

    k, calls, looks, weights, exact = 2, 1, 0, None, True


class Ask(BaseException):
    """The network has to be asked before the walk can go on: it is left, and walked again with the answer at hand."""


def answered(*question):
    answer = arrays.answer(*question)
    if not answer:
        raise Ask()
    return answer


class Asked(Network):
    """The network of the page."""

    def __call__(self, x, alpha, last=None):
        return make("", x.key, alpha[0].item(), None if last is None else last.key, of=answered)


class Step:
    """All that a step function may look at, as coldavg.samplers.Step."""

    def __init__(self, x, a, b, original, remainder, mixture, alpha0, first, predict, generator):
        self.x, self.a, self.b, self.original, self.remainder = x, a, b, original, remainder
        self.mixture, self.alpha0, self.first, self.predict, self.generator = mixture, alpha0, first, predict, generator

    def __getattr__(self, name):
        raise AttributeError(f"s has no {name}; it has x, a, b, original, remainder, mixture, alpha0, first, predict, "
                             "generator")


entered = []


def sampler(name, partner=None, steps=None):
    """As coldavg.samplers.sampler."""
    if partner not in ("state", "mixture"):
        raise ValueError(f"partner must be state or mixture, got {partner!r}")

    def enter(step):
        entered.append(Sampler(name, step, partner, steps))
        return step

    return enter


def ask(network, x, alpha, last=None):
    """As coldavg.predictor.ask."""
    return network(x, torch.full((len(x),), alpha), *((last,) if network.looks else ()))


def check_weights(weights, k):
    return weights if isinstance(weights, Tensor) else torch.tensor(weights or [1 / k] * k)


def unmix(mixture, network, sampler="cold", steps=20, k=2, alpha0=None, trajectory=False, visit=None):
    """As coldavg.unmix, but that nothing is checked."""
    weights = check_weights(None if alpha0 is None else (1 - alpha0, alpha0), k)
    points, calls, images = [], 0, None
    visit = visit or points.append
    arrays.seed(0)
    if network.target == "joint":
        for images in split(network, mixture, check_weights(network.weights, k), steps):
            visit(Point(0.5, mixture, images[:, 0], images[:, 1]))
        return Result(images, steps, points)
    chosen = SAMPLERS[sampler] if isinstance(sampler, str) else sampler
    steps, start = chosen.steps or steps, 1 - weights[0].item()
    alphas = [start * (1 - i / steps) for i in range(steps + 1)] if isinstance(steps, int) else steps
    images, calls = peel(mixture, network, chosen, alphas, weights, "the random numbers of this walk", visit)
    return Result(images, calls, points)


coldavg = Module("coldavg")
sys.modules.update({name: coldavg for name in ("coldavg", "coldavg.samplers", "coldavg.mixing")})
NETWORK = Asked()


def furnish(known):
    """Take in laboratory.json, after the package's functions."""
    known = json.loads(known)
    for name, value in dict(sampler=sampler, Step=Step, on_path=on_path, project=project).items():
        setattr(coldavg, name, value)
    TEXTS.update(known["samplers"])
    BUILT_IN.extend(known["builtIn"])
    SAMPLERS.update({name: define(text) for name, text in TEXTS.items()})


def define(text):
    """The sampler that a text enters last; "your cold" if it is named as one that is there, and another."""
    entered.clear()
    exec(compile(text, "yours", "exec"), dict(on_path=on_path, sampler=sampler, Step=Step, Tensor=Tensor, torch=torch,
                                              math=math, ca=coldavg))
    if not entered:
        raise ValueError('there is no sampler here: put @sampler("mine", partner="state") above a function of s')
    name, step, partner, steps = entered[-1]
    return Sampler(f"your {name}" if TEXTS.get(name, text) != text else name, step, partner, steps)


def meet(facts):
    """The network that is walked with from now on."""
    for name, value in json.loads(facts).items():
        setattr(NETWORK, name, value)


def walk(text, key, steps, alpha0):
    """Take the mixture of that key apart, by looks or by the sampler of a text: the key of the images, "" to wait."""
    def visit(point):
        arrays.visit(point.alpha, point.x.key, f"{point.original.key} {point.remainder.key}")

    joint = NETWORK.target == "joint"
    try:
        return unmix(Tensor(key), NETWORK, None if joint else define(text), steps, 2, alpha0, visit=visit).images.key
    except Ask:
        return ""


def inspect(text):
    """What the workshop finds of a sampler, [holds, words] each; its name; and how often it asks in four steps."""
    arrays.seed(0)
    pair, chosen = torch.rand(2, 2, 1, 6, 6, generator="of this page") * 2 - 1, define(text)
    findings = [[finding.holds, finding.words] for finding in find_properties(chosen, pair)]
    return json.dumps({"name": chosen.name, "findings": findings,
                       "calls": unmix(pair.mean(1), Waves("original"), chosen, 4).calls})


def cell(told):
    """The cell for a notebook, of the state of the page, with the name of the sampler that walked last."""
    return write_cell(told, entered[-1].name if entered else "")
