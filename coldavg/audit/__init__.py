"""Is my averaging safe?  An attack on averages of one's own images, and a report of what came back.

    plan      what is asked                     people    whether identities are found
    attacker  a network against these averages  privacy   what noise guarantees
    measure   what came back, in numbers        verdict   from numbers to a level of risk
    run       all of it, in order               report    one page
"""

from .plan import Plan
from .privacy import best_guess, epsilon
from .run import run_audit

__all__ = ["Plan", "best_guess", "epsilon", "run_audit"]
