"""Answers without a run: found in a text, graded, made to vote together."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from string import ascii_uppercase

from atts.errors import InputError
from atts.grading import graders
from atts.grading.extract import as_rule, extractor
from atts.grading.foreign import FromFunction
from atts.grading.rules import Grader
from atts.grading.thinking import spoken
from atts.types import Problem

GraderLike = str | Grader | Callable[[str, Problem], bool | None]


def grade(answer: str | None, known: str, *, grader: GraderLike = "suited", choices: Sequence[str] = ()) -> bool | None:
    """Whether an answer is right; None where the grader cannot tell. No answer is wrong.

    `grader` is a name (`atts ls graders`), a `Grader`, or a function (answer, problem) -> bool or None, whose errors
    are yours. `choices` are the options of a multiple-choice question; the known answer is the letter of one, or its
    text. May block, for the math grader up to its time limit. Raises InputError for an unknown grader.

    >>> grade("1/2", "0.5")
    True
    """
    for name, value in (("answer", answer), ("known", known)):
        if not isinstance(value, str) and not (name == "answer" and value is None):
            raise InputError(f"{name} = {value!r}: a text is needed, such as {str(value)!r}")
    options = tuple(choices)
    if known in options:
        known = ascii_uppercase[options.index(known)]
    with _grader(grader) as found:
        return found.grade(answer, Problem(id="", question="", answer=known, choices=options))


def vote_key(answer: str, *, grader: GraderLike = "suited") -> str:
    """A text that is the same for answers that vote together: the same number, or the same text but for spelling.

    `grader` as for `grade`. Raises InputError for an unknown grader.

    >>> vote_key("7.0") == vote_key("7")
    True
    """
    if not isinstance(answer, str):
        raise InputError(f"answer = {answer!r}: a text is needed, such as {str(answer)!r}")
    with _grader(grader) as found:
        return found.key(answer)


def extract(
    text: str, *, rule: str | Callable[[str], str | None] = "boxed", pattern: str | None = None, thinking: bool = False
) -> str | None:
    r"""The answer that a text gives outside its thinking, or None.

    `rule` is a name (`atts ls rules`) or a function from the text to the answer or None; `pattern`, a regular
    expression whose first group is the answer, takes its place. `thinking` says that the text begins inside thinking.
    Raises InputError for an unknown rule or an unreadable pattern; the errors of a function are yours, and TypeError is
    raised where it gives neither a text nor None.

    >>> extract(r"So it is \boxed{42}.")
    '42'
    """
    if not isinstance(text, str):
        raise InputError(f"text = {text!r}: a text is needed")
    if callable(rule):
        said = spoken(text, thinking=thinking)
        return None if said is None else as_rule(getattr(rule, "__name__", "given"), rule).find(said)
    return extractor(rule, thinking=thinking, pattern=pattern)(text)


@contextmanager
def _grader(grader: GraderLike) -> Iterator[Grader]:
    """The grader; one that was made here is closed, one that was given is its owner's."""
    if isinstance(grader, str):
        with closing(graders.named(grader)) as made:
            yield made
    else:
        yield grader if isinstance(grader, Grader) else FromFunction(grader)
