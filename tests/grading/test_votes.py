"""Votes weighted by perplexity and by takeovers."""

from __future__ import annotations

import pytest

from atts.grading.votes import by_perplexity, by_takeovers, weighted, weights
from atts.stats.estimate import Outcomes
from atts.types import Finish, Piece, Problem, Role, Span, Turn, Usage
from tests.recorded import chain

TAKEN = Piece(Role.TARGET, "", (), Finish.END, Usage(), Span(0, 0, 0))


def turns(*perplexities: float, takeovers: int = 0) -> list[Turn]:
    made = [Turn("a", 0, i, scores={"perplexity": p}) for i, p in enumerate(perplexities)]
    return made + [Turn("a", 0, len(made) + i, takeover=TAKEN) for i in range(takeovers)]


def test_weights_of_a_chain() -> None:
    assert by_perplexity(turns(1.0, 3.0)) == 0.5
    assert by_perplexity([Turn("a", 0, 0, scores={"log_perplexity": 0.0})]) == 1
    assert by_perplexity(turns(takeovers=2)) == 0
    assert by_perplexity(turns(0.0, 0.0)) == 0
    assert by_perplexity(turns(0.0, 2.0, float("nan"), float("inf"))) == 0.5
    assert by_takeovers(turns(1.0, takeovers=3)) == 0.25
    assert by_takeovers([]) == 1


def test_a_sure_sample_outweighs_two_doubtful_ones() -> None:
    histories = [
        (chain("a", 0, "", "1"), turns(1.1, takeovers=4)),
        (chain("a", 1, "", "2"), turns(4.0)),
        (chain("a", 2, "", "2"), turns(4.0)),
    ]
    table = Outcomes.of([[1, 0, 0]], [[0, 1, 1]])
    found = weighted([Problem("a", "?", "1")], table, weights(histories))
    assert found["perplexity"].value == 1
    assert found["takeovers"].value == pytest.approx(0)


def test_a_question_without_weights_has_not_voted() -> None:
    problems = [Problem("a", "?", "1"), Problem("b", "?", "1")]
    histories = [(chain("a", 0, "", "1"), turns(2.0)), (chain("b", 0, "", "1"), turns(takeovers=1))]
    found = weighted(problems, Outcomes.of([[1], [1]]), weights(histories))
    assert (found["perplexity"].value, found["perplexity"].questions) == (1, 1)
    assert (found["takeovers"].value, found["takeovers"].questions) == (1, 2)
    nothing = weighted(problems, Outcomes.of([[1], [1]]), weights([(chain("a", 0, "", "1"), [])]))
    assert nothing["perplexity"].plain()["value"] is None
