"""The command line: coldavg audit, unmix, train, evaluate, data; one file for each.

Wrong input ends in one line that says what was wrong and what to do, exit code 2, and nothing half-written.
"""

import argparse
import errno
import io
import sys
from importlib import import_module
from pathlib import Path

from .. import __version__

COMMANDS = {
    "audit": "attack averages of your own images, and report",
    "unmix": "recover the images from averages",
    "train": "train a network",
    "evaluate": "score a network by the protocol",
    "data": "fetch an image set if need be, and say what it holds",
}


def main(words: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, 2 for wrong input, 130 for ctrl-C."""
    words = sys.argv[1:] if words is None else words
    options = parser(words).parse_args(words)
    options.words = words
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a name of a file may be no text
    try:
        options.run(options)
    except KeyboardInterrupt:
        return say("stopped by ctrl-C", 130)
    except BrokenPipeError:
        return say("the output was closed before the end", 1)
    except OSError as error:
        return say(describe_error(error, getattr(options, "out", None)))
    except (ValueError, TypeError) as error:
        return say(str(error))
    return 0


def describe_error(error: OSError, out: Path | None) -> str:
    """One line for an error of reading or writing: what, where, and what to do."""
    if not error.errno:  # one of our own, which says it all
        return str(error)
    full = error.errno in (errno.ENOSPC, errno.EROFS)
    ours = out and error.filename and Path(error.filename).resolve().is_relative_to(out.resolve().parent)
    remedy = "choose another --out" if full or ours else "check that it is there and may be read"
    return f"{error.strerror}{f': {error.filename}' if error.filename else ''}; {remedy}"


def say(message: str, code: int = 2) -> int:
    """Print one line to standard error; returns `code`."""
    print("coldavg: " + " ".join(message.split()), file=sys.stderr)
    return code


class Parser(argparse.ArgumentParser):
    """argparse, but an error is one line."""

    def error(self, message: str):
        """Say the message in one line, and exit with code 2."""
        raise SystemExit(say(f"{message}; see {self.prog} --help"))


def parser(words: list[str]) -> Parser:
    """All commands, and the options of the one that `words` ask for: the others are not even imported."""
    top = Parser(prog="coldavg", description="Take averaged pictures apart.")
    top.add_argument("--version", action="version", version=__version__)
    commands = top.add_subparsers(required=True, metavar=" | ".join(COMMANDS))
    for name, purpose in COMMANDS.items():
        command = commands.add_parser(name, help=purpose, description=purpose.capitalize() + ".",
                                      formatter_class=argparse.ArgumentDefaultsHelpFormatter)
        if name in words[:1]:
            import_module(f".{name}", __name__).add_options(command)
    return top


def numbers(kind: type):
    """A parser of numbers with commas between them."""

    def parse(text: str) -> tuple:
        return tuple(kind(part) for part in text.split(","))

    parse.__name__ = "list of numbers with commas between them"
    return parse
