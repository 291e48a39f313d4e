"""Exercises: an answer is tried, and the page goes on whatever it is."""

from collections.abc import Callable


def attempt(check: Callable[[object], None], answer: object) -> None:
    """Try an `answer` to an exercise: say "Right.", or what `check` finds wrong (it raises, usually by assert)."""
    try:
        check(answer)
    except NotImplementedError:
        print("Not yet: replace the line that raises NotImplementedError by your own.")
    except Exception as error:  # whatever a reader's code does, the page goes on
        print(f"Not yet: {(str(error) or type(error).__name__).splitlines()[0]}")
    else:
        print("Right.")
