"""Errors that speak to a person: one line with where, what was found and what was expected."""


class MgrecError(Exception):
    """Anything mgrec refuses; the command line prints its message alone and exits with 2."""


class DataError(MgrecError):
    """A catalogue, log, picture or vector file that cannot be read as it is."""


class RecipeError(MgrecError):
    """An unknown recipe or field, or a value that does not fit it."""


class ArtifactError(MgrecError):
    """A saved artifact that is missing, corrupt or of a newer format."""


class StorageError(ArtifactError):
    """A file or folder that cannot be written: a full or read-only disk, a quota, no permission."""


class RequestError(MgrecError):
    """A request that no answer fits, such as k below 1."""


class ProcessError(MgrecError):
    """A process that cannot work, since it was forked after mgrec had started to work."""


class MissingExtra(MgrecError):
    """A part of mgrec whose optional dependencies are not installed."""


def nearest(word: str, known: list[str]) -> str:
    """Return `` Did you mean 'x'?`` for the closest known word, or an empty string."""
    import difflib

    close = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def in_one_line(error: BaseException) -> str:
    """Return an error's text on one line; of an operating system's error, the reason alone."""
    text = getattr(error, "strerror", None) or str(error)
    return " ".join(text.split()) or type(error).__name__
