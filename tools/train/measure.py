"""Measure a pair: `python -m tools.train.measure`.

Prints accuracy and cost of draft only, target only, and of the target taking over the strangest lines, with a plain
loop over all chains in step. It judges the weights; what a run of the whole program does, that program reports.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import LlamaForCausalLM

from atts import bundled
from atts.bundled.family import BLANK_LINE, Story, closing, parse, problems
from atts.stats.arrays import Bools, Floats
from atts.types import Problem
from tools.train.corpus import chat
from tools.train.slips import write_lines
from tools.train.tokenizer import END, PAD

Method = Literal["draft-only", "target-only", "replace", "continue"]

_MOST_LINES = 24
_ROWS = 128
_BOX = re.compile(r"\\boxed\{(\d+)\}")
_LAST = re.compile(r"\w+ (\w+) .*?(\d+)\.")


@dataclass(slots=True)
class Chain:
    """One attempt at a problem: its lines' ids, who wrote them, and the score of each line that was scored.

    `wrong` says of each scored line whether it was wrong given the lines before it; `rejected` whether it was handed
    to the target; `tokens` counts the kept tokens by author.
    """

    problem: Problem
    ids: list[int]
    lines: list[str] = field(default_factory=list)
    scores: list[float] = field(default_factory=list)
    wrong: list[bool] = field(default_factory=list)
    rejected: list[bool] = field(default_factory=list)
    tokens: Counter[str] = field(default_factory=Counter)
    done: bool = False

    @property
    def answer(self) -> str | None:
        """The number in the last box, or None."""
        found = _BOX.findall(BLANK_LINE.join(self.lines))
        return found[-1] if found else None

    def append(self, ids: Sequence[int], text: str, author: str) -> None:
        """Add a line; the chain is done when the line ends the text."""
        self.done = END in ids or len(self.lines) >= _MOST_LINES
        kept = [id_ for id_ in ids if id_ != END]
        self.ids += kept
        self.tokens[author] += len(kept)
        self.lines.append(text)


@dataclass(frozen=True, slots=True)
class Pair:
    """Both models and their tokenizer."""

    draft: LlamaForCausalLM
    target: LlamaForCausalLM
    tokenizer: Tokenizer

    @classmethod
    def load(cls, draft: Path, target: Path) -> Pair:
        """Load two folders."""
        tokenizer = Tokenizer.from_file(str(draft / "tokenizer.json"))
        return cls(_model(draft), _model(target), tokenizer)

    def text(self, ids: Sequence[int]) -> str:
        """Decode a line without its blank line."""
        return str(self.tokenizer.decode(list(ids), skip_special_tokens=True)).removesuffix(BLANK_LINE)


def expected(story: Story, lines: Sequence[str]) -> str | None:
    """Return the line that rightly follows `lines`, taking their last total as given; None after nonsense."""
    if not lines:
        return story.opening()
    found = _LAST.fullmatch(lines[-1].removeprefix("Wait, "))
    places = {operation.verb: place for place, operation in enumerate(story.operations)}
    if found is None or (found[1] not in places and found[1] != "has"):
        return None
    index = places[found[1]] + 1 if found[1] in places else 0
    return story.step(index, int(found[2])) if index < len(story.operations) else closing(found[2])


def run(
    pair: Pair,
    chosen: Sequence[Problem],
    samples: int,
    method: Method,
    *,
    threshold: float = float("inf"),
    temperature: float = 0.8,
) -> list[Chain]:
    """Let every problem be solved `samples` times; lines whose score is above `threshold` go to the target.

    The score is the log perplexity of the line under the target, its blank line included, in nats a token.
    """
    chains = [Chain(problem, chat(pair.tokenizer, problem.question)) for problem in chosen for _ in range(samples)]
    while open_ := [chain for chain in chains if not chain.done]:
        for start in range(0, len(open_), _ROWS):
            _turn(pair, open_[start : start + _ROWS], method, threshold, temperature)
    return chains


def area_under_curve(scores: Floats, wrong: Bools) -> float:
    """Return the chance that a wrong line scores above a right one (ties count half)."""
    _, places, counts = np.unique(scores, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[places]
    bad = int(wrong.sum())
    return float((rank[wrong].sum() - bad * (bad + 1) / 2) / (bad * (len(scores) - bad)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program and print the table."""
    options = _parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    pair = Pair.load(options.draft, options.target)
    test = problems("test", options.problems, seed=options.seed)
    print(f"{'method':<18} takeovers  pass@1        majority  by target  tokens/chain  answered", flush=True)
    drafted = run(pair, test, options.samples, "replace", temperature=options.temperature)
    _row("draft only", drafted, options.samples)
    _row(
        "target only", run(pair, test, options.samples, "target-only", temperature=options.temperature), options.samples
    )
    methods: tuple[Method, ...] = ("replace", "continue")
    for method in methods:
        for rate in options.rates:
            threshold = _threshold(pair, method, rate, options.temperature)
            chains = run(pair, test, options.samples, method, threshold=threshold, temperature=options.temperature)
            _row(f"{method} {rate:g}", chains, options.samples)
    _detection(drafted)
    return 0


def _turn(pair: Pair, chains: Sequence[Chain], method: Method, threshold: float, temperature: float) -> None:
    author = pair.target if method == "target-only" else pair.draft
    written = write_lines(author, pair.tokenizer, [chain.ids for chain in chains], temperature)
    if method not in ("replace", "continue"):
        for chain, ids in zip(chains, written, strict=True):
            chain.append(ids, pair.text(ids), method.removesuffix("-only"))
        return
    again = []
    for chain, ids, score in zip(chains, written, _scores(pair.target, chains, written), strict=True):
        text = pair.text(ids)
        chain.scores.append(score)
        chain.wrong.append(text != expected(parse(chain.problem.question), chain.lines))
        chain.rejected.append(score > threshold and not (method == "continue" and END in ids))
        if not chain.rejected[-1] or method == "continue":
            chain.append(ids, text, "draft")
        if chain.rejected[-1]:
            again.append(chain)
    if again:
        taken = write_lines(pair.target, pair.tokenizer, [chain.ids for chain in again], temperature)
        for chain, ids in zip(again, taken, strict=True):
            chain.append(ids, pair.text(ids), "target")


def _model(folder: Path) -> LlamaForCausalLM:
    return LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def _scores(target: LlamaForCausalLM, chains: Sequence[Chain], written: Sequence[list[int]]) -> list[float]:
    """Return the log perplexity of each written line, the end of the text left out."""
    whole = [chain.ids + [id_ for id_ in ids if id_ != END] for chain, ids in zip(chains, written, strict=True)]
    longest = max(map(len, whole))
    ids = torch.tensor([row + [PAD] * (longest - len(row)) for row in whole])
    with torch.inference_mode():
        logits = target(ids[:, :-1], use_cache=False).logits
    losses = -logits.log_softmax(-1).gather(-1, ids[:, 1:, None])[..., 0].double()
    spans = [slice(len(chain.ids) - 1, len(row) - 1) for chain, row in zip(chains, whole, strict=True)]
    return [
        float(loss[span].mean()) if span.start < span.stop else 0.0 for loss, span in zip(losses, spans, strict=True)
    ]


def _threshold(pair: Pair, method: Method, rate: float, temperature: float) -> float:
    """Find the score that the share `rate` of the draft's lines exceeds, on calibration problems, in two rounds."""
    chosen = problems("calibration", 40)
    threshold = float("inf")
    for _ in range(3):
        chains = run(pair, chosen, 4, method, threshold=threshold, temperature=temperature)
        threshold = float(np.quantile([score for chain in chains for score in chain.scores], 1 - rate))
    return threshold


def _row(name: str, chains: Sequence[Chain], samples: int) -> None:
    right = np.array([chain.answer == chain.problem.answer for chain in chains]).reshape(-1, samples)
    spread = right.mean(1).std(ddof=1) / len(right) ** 0.5
    votes = [chains[start : start + samples] for start in range(0, len(chains), samples)]
    vote = np.mean([_vote(group) for group in votes])
    tokens = sum((chain.tokens for chain in chains), Counter[str]())
    taken = [rejected for chain in chains for rejected in chain.rejected]
    print(
        f"{name:<18} {np.mean(taken) if taken else 0:9.1%}  {right.mean():6.1%} ±{1.96 * spread:5.1%} {vote:8.1%}  "
        f"{tokens['target'] / tokens.total():9.1%}  {tokens.total() / len(chains):12.0f}  "
        f"{np.mean([chain.answer is not None for chain in chains]):8.1%}",
        flush=True,
    )


def _detection(chains: Sequence[Chain]) -> None:
    """Say how well the score tells wrong lines: among all lines, and among those that follow only right ones."""
    lines = [
        (score, bad, any(chain.wrong[:place]))
        for chain in chains
        for place, (score, bad) in enumerate(zip(chain.scores, chain.wrong, strict=True))
    ]
    scores, wrong, late = (np.array(column) for column in zip(*lines, strict=True))
    print(f"wrong lines of the draft {wrong.mean():.3f}, AUC of the score {area_under_curve(scores, wrong):.4f}")
    first = area_under_curve(scores[~late], wrong[~late])
    print(f"after right lines only   {wrong[~late].mean():.3f}, AUC of the score {first:.4f}")


def _vote(chains: Sequence[Chain]) -> bool:
    answers = Counter(chain.answer for chain in chains if chain.answer is not None)
    return bool(answers) and answers.most_common(1)[0][0] == chains[0].problem.answer


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.train.measure", description="Measure the bundled pair.")
    parser.add_argument("--draft", type=Path, default=bundled.DRAFT)
    parser.add_argument("--target", type=Path, default=bundled.TARGET)
    parser.add_argument("--problems", type=int, default=50)
    parser.add_argument("--samples", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--temperature", type=float, default=0.8)
    parser.add_argument("--rates", type=float, nargs="*", default=[0.1, 0.2, 0.3])
    parser.add_argument("--threads", type=int, default=1)
    return parser


if __name__ == "__main__":
    sys.exit(main())
