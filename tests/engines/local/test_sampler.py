from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from atts.engines.local.sampler import draw, penalise  # noqa: E402


def drawn(
    scores: list[float], u: float, temperature: float = 1.0, top_p: float = 1.0, top_k: int = 0, min_p: float = 0.0
) -> int:
    settings = torch.tensor([[u, temperature, top_p, top_k, min_p]], dtype=torch.float64)
    return int(draw(torch.tensor([scores]), settings).item())


def test_frequencies_follow_the_distribution() -> None:
    scores = torch.tensor([0.0, 1.0, -1.0, 2.0])
    n = 20_000
    settings = torch.stack([(torch.arange(n) + 0.5) / n, *(torch.full((n,), v) for v in (0.7, 1.0, 0.0, 0.0))], dim=1)
    counts = torch.bincount(draw(scores.repeat(n, 1), settings).squeeze(1), minlength=4) / n
    assert torch.allclose(counts, (scores / 0.7).softmax(-1), atol=2e-4)


def test_greedy_takes_the_likeliest() -> None:
    assert {drawn([0.1, 3.0, 2.9], u, temperature=0) for u in (0.001, 0.5, 0.999999)} == {1}


def test_top_k_and_top_p_cut_the_tail() -> None:
    scores = [3.0, 2.0, 1.0, 0.0]
    us = [(i + 0.5) / 400 for i in range(400)]
    assert {drawn(scores, u, top_k=2) for u in us} == {0, 1}
    # Probabilities .64, .24, .09, .03: the token that crosses 0.7 is the last one kept.
    assert {drawn(scores, u, top_p=0.7) for u in us} == {0, 1}
    assert {drawn(scores, u, top_p=0.01) for u in us} == {0}
    assert {drawn(scores, u) for u in us} == {0, 1, 2, 3}


def test_min_p_cuts_what_is_much_less_likely_than_the_likeliest() -> None:
    scores = [3.0, 2.0, 1.0, 0.0]  # each e times less likely than the one before
    us = [(i + 0.5) / 400 for i in range(400)]
    assert {drawn(scores, u, min_p=0.2) for u in us} == {0, 1}
    assert {drawn(scores, u, min_p=0.4) for u in us} == {0}
    assert {drawn(scores, u, min_p=1.0) for u in us} == {0}
    assert {drawn(scores, u, min_p=0.2, temperature=2.0) for u in us} == {0, 1, 2, 3}  # of what it is drawn from
    assert {drawn(scores, u, min_p=0.2, temperature=2.0, top_k=3) for u in us} == {0, 1, 2}


def test_penalties_by_hand() -> None:
    scores = torch.tensor([2.0, -2.0, 1.0, 1.0])
    before, written = [0, 1], [2, 2]
    repetition = penalise(scores, before, written, {"repetition_penalty": 2.0})
    assert repetition.tolist() == [1.0, -4.0, 0.5, 1.0]
    assert penalise(scores, before, written, {"presence_penalty": 0.5}).tolist() == [2.0, -2.0, 0.5, 1.0]
    assert penalise(scores, before, written, {"frequency_penalty": 0.5}).tolist() == [2.0, -2.0, 0.0, 1.0]
    together = {"repetition_penalty": 2.0, "presence_penalty": 0.5, "frequency_penalty": -0.25}
    assert penalise(scores, before, written, together).tolist() == [1.0, -4.0, 0.5, 1.0]
    assert penalise(scores, [], [], together).tolist() == scores.tolist()


def test_rows_are_independent() -> None:
    scores = torch.randn(5, 50, generator=torch.Generator().manual_seed(0))
    settings = torch.tensor([[0.1 * i + 0.05, 0.8, 0.95, 20, 0.02] for i in range(5)], dtype=torch.float64)
    together = draw(scores, settings)
    alone = torch.cat([draw(scores[i : i + 1], settings[i : i + 1]) for i in range(5)])
    assert torch.equal(together, alone)
