"""What every part uses.  Nothing here knows what a mixture is.

    pixels  images and 8-bit pictures   figures     drawn from arrays
    files   whole or not at all         checkpoint  the state of a training run    device  what it ran on
"""
