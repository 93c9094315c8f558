"""What can go wrong, by who can do something about it.

    AttsError             root of all that is raised on purpose
    ├── InputError        the user: what was asked for cannot be done; exit status 2, nothing is written
    ├── RunError          the operator: the run cannot go on (disk, servers that stay down); saved, exit status 1
    └── EngineError       nobody here: a model or its server failed; ends that chain with status `error`
        ├── NoRoomError   its context is full: an end like any other, once the chain has a turn
        └── ScoreError    its log-probabilities give no score: the chunk counts as unscored

Whatever else is raised is a mistake of this program, or of a function of the user's; in a chain it ends that chain, and
its type and text are the reason.
"""


class AttsError(Exception):
    """Root of every error that this package raises on purpose."""


class InputError(AttsError):
    """The user asked for something that cannot be done; the message is one line: what, where, what to do.

    The command line prints it and exits with status 2, before anything is written.
    """


class RunError(AttsError):
    """A run cannot go on (disk full, both servers gone); what was finished is saved. Exit status 1."""


class EngineError(AttsError):
    """A model server or model answered wrongly, late or not at all.

    `retryable` says whether the same request may succeed when it is sent again.
    """

    def __init__(self, message: str, *, retryable: bool = False) -> None:
        super().__init__(message)
        self.retryable = retryable


class NoRoomError(EngineError):
    """The model's context is full: there is nothing wrong with the engine, but the chain can grow no further."""


class AnswerError(EngineError):
    """A server's answer is not built as its interface says; the message names what is missing or wrong."""


class ScoreError(EngineError):
    """Log-probabilities are missing, not finite or misaligned: there is no score, and none is invented."""


class MissingScoreError(AnswerError, ScoreError):
    """An answer without the log-probabilities that were asked for."""


def needs_extra(what: str, extra: str) -> InputError:
    """What to raise where an optional dependency is not installed, which this extra brings. The one place that says
    how: the package stands on no index, so it is installed from its own folder.
    """
    return InputError(f'{what}: in the folder of atts, pip install -c constraints.txt ".[{extra}]"')


def first_leaf(error: Exception) -> Exception:
    """The error itself, or where several came together, the first of them."""
    return first_leaf(error.exceptions[0]) if isinstance(error, ExceptionGroup) else error
