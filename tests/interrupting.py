"""An interruption in the middle of long work, as by Ctrl-C."""


def interrupted(function, after):
    """Return a function that the user stops when it has been called some number of times."""
    taken = 0

    def once(*args, **kwargs):
        nonlocal taken
        taken += 1
        if taken > after:
            raise KeyboardInterrupt
        return function(*args, **kwargs)

    return once
