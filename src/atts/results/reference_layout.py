"""The paper's implementation writes one `problem_0000.json` a sample; this reads such a folder and writes one.

The number in a file's name is question · repeats + sample. The layout has no known answers, token ids or chunk bounds.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import Any

from atts.errors import InputError
from atts.grading.votes import perplexity_of
from atts.types import Chain, Finish, Piece, Problem, Role, Span, Status, Turn, Usage

_NAME = re.compile(r"problem_(\d+)\.json")
_NO_ANSWER = "invalid"
_BETWEEN = "\n\n"  # what its chunks are joined with
_KEYS = {"problem_index": int, "final_answer": str, "duration_seconds": int | float, "full_history": list}
_ENTRY = {"turn": int, "model": str, "output": str | None, "ppl": int | float | None, "percentile": int | float | None}
Record = Mapping[str, Any]
Answers = Mapping[tuple[str, int], str | None]


class ReferenceFolder:
    """A folder of `problem_*.json`. Known answers come from elsewhere: from a data set whose questions are the same."""

    def __init__(self, path: Path, known: Sequence[Problem] = ()) -> None:
        """Reads which questions there are. Raises InputError for a file that does not have the layout."""
        self.path = path
        self._files = {int(m[1]): file for file in path.iterdir() if (m := _NAME.fullmatch(file.name))}
        questions = [(index, _question(_read(self._files[index]))) for index in sorted(self._files)]
        groups = [(q, [index for index, _ in rows]) for q, rows in groupby(questions, key=lambda row: row[1])]
        self.repeats = _repeats([indices for _, indices in groups])
        self._problems = [_problem(indices[0] // self.repeats, question) for question, indices in groups]
        self._ids = {
            index // self.repeats: p.id
            for (_, indices), p in zip(groups, self._problems, strict=True)
            for index in indices
        }
        self._give_answers(known)

    @classmethod
    def exists(cls, path: Path) -> bool:
        """Whether the folder holds files of this layout."""
        return path.is_dir() and any(_NAME.fullmatch(file.name) for file in path.iterdir())

    def problems(self) -> list[Problem]:
        """The questions in their order; `answer` is empty where it is not known."""
        return self._problems

    def chains(self) -> Iterator[Chain]:
        """One chain a file, in the order of their numbers."""
        for index in sorted(self._files):
            yield _chain(_read(self._files[index]), *self._key(index))

    def histories(self) -> Iterator[tuple[Chain, list[Turn]]]:
        """Each chain with its turns, in the order of their numbers."""
        for index in sorted(self._files):
            record, (problem, sample) = _read(self._files[index]), self._key(index)
            yield _chain(record, problem, sample), _turns(record, problem, sample, self._files[index].name)

    def records(self, answers: Answers) -> Iterator[tuple[int, Record]]:
        """The files' numbers and contents as they stand, but for the answers given by (problem, sample)."""
        for index in sorted(self._files):
            record, key = _read(self._files[index]), self._key(index)
            yield index, {**record, "final_answer": _said(answers[key])} if key in answers else record

    def _key(self, index: int) -> tuple[str, int]:
        """The problem and the sample that a file's number stands for."""
        return self._ids[index // self.repeats], index % self.repeats

    def _give_answers(self, known: Sequence[Problem]) -> None:
        answers = _by_question(known)
        for place, problem in enumerate(self._problems):
            if (match := answers.get(_plain(problem.question))) is not None:
                self._problems[place] = replace(problem, answer=_letter(match, problem), meta=match.meta)


def records(
    problems: Sequence[Problem], chains: Iterable[tuple[Chain, Sequence[Turn]]], samples: int
) -> Iterator[tuple[int, Record]]:
    """The chains of a run as numbered records.

    What the layout cannot say is left out: token ids, times of turns, and whether a chunk was replaced.
    """
    order = {problem.id: index for index, problem in enumerate(problems)}
    for chain, turns in chains:
        place = order[chain.problem]
        index = place * samples + chain.sample
        yield index, _record(index, problems[place], chain, turns)


def write(path: Path, numbered: Iterable[tuple[int, Record]]) -> int:
    """Write one file a record into a new or empty folder; returns their number. Raises InputError for a full one."""
    path.mkdir(parents=True, exist_ok=True)
    if any(path.iterdir()):
        raise InputError(f"{path} is not empty; export into a new folder")
    count = 0
    for index, record in numbered:
        (path / f"problem_{index:04d}.json").write_text(json.dumps(record, indent=4), encoding="utf-8")
        count += 1
    return count


def _read(file: Path) -> Record:
    try:
        record = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        raise InputError(f"{file}: cannot be read: {error}") from error
    missing = [k for k, kind in _KEYS.items() if not isinstance(record, dict) or not isinstance(record.get(k), kind)]
    if missing or "question" not in record:
        raise InputError(
            f"{file}: not a result of the reference: {', '.join(missing or ['question'])} is missing or wrong"
        )
    if (wrong := _wrong_entry(record["full_history"])) is not None:
        raise InputError(f"{file}: full_history: {wrong}")
    question = record["question"]
    if not isinstance(question, str) and not (isinstance(question, list) and question and _are_texts(question)):
        raise InputError(f"{file}: question is neither a text nor a list of texts")
    return record  # type: ignore[no-any-return]


def _wrong_entry(history: Sequence[Any]) -> str | None:
    """What is wrong with the first entry that cannot be used, if there is one."""
    for place, entry in enumerate(history):
        if not isinstance(entry, dict) or not {"turn", "model"} <= entry.keys():
            return f"entry {place} is no object with turn and model"
        if wrong := [key for key, kind in _ENTRY.items() if key in entry and not isinstance(entry[key], kind)]:
            return f"entry {place}: {', '.join(wrong)} is wrong"
    return None


def _are_texts(values: Sequence[Any]) -> bool:
    return all(isinstance(value, str) for value in values)


def _question(record: Record) -> tuple[str, ...]:
    """The question and, for multiple choice, its options, the right one first as the reference has it."""
    question = record["question"]
    return (question,) if isinstance(question, str) else tuple(question)


def _repeats(groups: Sequence[Sequence[int]]) -> int:
    """The smallest number of samples a question with which every file's number falls to its question."""
    least = max((max(group) - min(group) + 1 for group in groups), default=1)
    for repeats in range(least, max((max(group) for group in groups), default=0) + 2):
        places = [{index // repeats for index in group} for group in groups]
        if all(len(place) == 1 for place in places) and len(set().union(*places)) == len(groups):
            return repeats
    raise InputError("the files' numbers do not fit any number of samples a question")


def _problem(place: int, question: tuple[str, ...]) -> Problem:
    return Problem(f"reference/{place:04d}", question[0], "", question[1:])


def _by_question(known: Sequence[Problem]) -> dict[str, Problem]:
    """Problems by their question, and by the question without its context, as the reference asks it, where that tells.

    Whole questions come first, and a question that stands in two contexts tells nothing without them.
    """
    whole = {_plain(problem.question): problem for problem in known}
    contexts = [(str(problem.meta["context"]).strip(), problem) for problem in known if problem.meta.get("context")]
    alone = [(_plain(problem.question.removeprefix(context)), problem) for context, problem in contexts]
    times = Counter(question for question, _ in alone)
    return {question: problem for question, problem in alone if times[question] == 1} | whole


def _plain(question: str) -> str:
    return " ".join(question.split())


def _said(answer: str | None) -> str:
    return _NO_ANSWER if answer is None else answer


def _letter(known: Problem, ours: Problem) -> str:
    """The known answer; of a multiple choice, the letter under which the options stand here."""
    if not known.choices or not ours.choices:
        return known.answer
    right = known.choices["ABCDEFGHIJKLMNOPQRSTUVWXYZ".index(known.answer)]
    return next((chr(65 + i) for i, text in enumerate(ours.choices) if text.strip() == right.strip()), "")


def _chain(record: Record, problem: str, sample: int) -> Chain:
    answer = record["final_answer"]
    outputs = [entry.get("output") for entry in record["full_history"]]
    return Chain(
        problem=problem,
        sample=sample,
        status=Status.DONE,
        reason="turns" if answer == _NO_ANSWER else "answer",
        turns=1 + max((entry["turn"] for entry in record["full_history"]), default=-1),
        text=_BETWEEN.join(output for output in outputs if output is not None),
        answer=None if answer == _NO_ANSWER else answer,
        start=0.0,
        end=float(record["duration_seconds"]),
    )


def _turns(record: Record, problem: str, sample: int, file: str) -> list[Turn]:
    return [
        _turn(list(entries), problem, sample, number, file)
        for number, entries in groupby(record["full_history"], key=lambda entry: entry["turn"])
    ]


def _turn(entries: Sequence[Record], problem: str, sample: int, number: int, file: str) -> Turn:
    found = {entry["model"]: entry for entry in entries}
    if unknown := found.keys() - {"small", "eval_ppl", "eval_generate"}:
        raise InputError(f"{file}: turn {number} has an entry of {', '.join(unknown)}, which is not known")
    score = found.get("eval_ppl", {})
    return Turn(
        problem=problem,
        sample=sample,
        turn=number,
        draft=_piece(found.get("small"), Role.DRAFT),
        scores={ours: score[theirs] for theirs, ours in _SCORES.items() if score.get(theirs) is not None},
        takeover=_piece(found.get("eval_generate"), Role.TARGET),
    )


_SCORES = {"ppl": "perplexity", "percentile": "percentile"}


def _piece(entry: Record | None, author: Role) -> Piece | None:
    if entry is None or entry.get("output") is None:
        return None
    return Piece(author, entry["output"], (), Finish.LENGTH, Usage(), Span(0.0, 0.0, 0.0))


def _record(index: int, problem: Problem, chain: Chain, turns: Sequence[Turn]) -> dict[str, Any]:
    return {
        "problem_index": index,
        "final_answer": _said(chain.answer),
        "duration_seconds": chain.end - chain.start,
        "full_history": [entry for turn in turns for entry in _entries(turn)],
        "question": [problem.question, *problem.choices] if problem.choices else problem.question,
    }


def _entries(turn: Turn) -> Iterator[dict[str, Any]]:
    if turn.draft is not None or turn.takeover is None:  # a turn of nothing is an empty reply of the draft
        yield {"turn": turn.turn, "model": "small", "output": turn.draft.text if turn.draft else None}
    if (perplexity := perplexity_of(turn)) is not None:
        yield {"turn": turn.turn, "model": "eval_ppl", "ppl": perplexity, "percentile": _percentile(turn)}
    for piece in (turn.takeover, *turn.more):
        if piece is not None:
            yield {"turn": turn.turn, "model": _NAMES[piece.author], "output": piece.text}


_NAMES = {Role.DRAFT: "small", Role.TARGET: "eval_generate"}


def _percentile(turn: Turn) -> float | None:
    """The share of earlier scores below this one, which is what 1 − p estimates."""
    if "percentile" in turn.scores:
        return turn.scores["percentile"]
    p_value = turn.decision.p_value if turn.decision is not None else None
    return None if p_value is None else 1 - p_value
