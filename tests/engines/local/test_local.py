"""The local engine on the bundled models: real weights, real processes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from atts import bundled
from atts.bundled import family
from atts.engines import open_engine
from atts.engines.base import Engine
from atts.engines.local import LocalEngine
from atts.errors import EngineError, InputError, NoRoomError, ScoreError
from atts.types import Finish, Message, Sampling

pytest.importorskip("torch")

GREEDY = Sampling(temperature=0)
WARM = Sampling(temperature=0.8)
PROBLEMS = family.problems("test", 6)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def target() -> AsyncIterator[LocalEngine]:
    engine = LocalEngine(str(bundled.TARGET))
    yield engine
    await engine.close()


pytestmark = pytest.mark.asyncio(loop_scope="module")


async def prompt_of(engine: Engine, number: int = 0) -> list[int]:
    return await engine.render([Message("user", PROBLEMS[number].question)])


async def sent(engine: LocalEngine, requests: int) -> None:
    """Return once so many requests are with the worker; no answer can have been read by then."""
    while len(engine._pending) < requests:  # noqa: ASYNC110  (there is no event to wait for)
        await asyncio.sleep(0)


async def test_it_is_an_engine(target: LocalEngine) -> None:
    assert isinstance(target, Engine)
    info = await target.info()
    assert info.engine == "local" and info.context_length and len(info.vocabulary) == 16
    draft = await asyncio.to_thread(open_engine, "bundled:draft")
    assert (await draft.info()).vocabulary == info.vocabulary
    await draft.close()


@pytest.mark.parametrize("wrong", [10**6, -1])
async def test_an_id_beyond_the_vocabulary_concerns_its_request_only(target: LocalEngine, wrong: int) -> None:
    size = (await target.info()).details["vocabulary_size"]
    for request in (
        target.generate([5, wrong], max_tokens=4, sampling=GREEDY),
        target.score([5], [size - 1, wrong]),
        target.next_token([wrong, 5], top=3),
    ):
        with pytest.raises(EngineError, match=f"token id {wrong} is not in the vocabulary, which has {size}"):
            await request
    assert (await target.generate([5, size - 1], max_tokens=4, sampling=GREEDY)).usage.completion
    assert (await target.score([5], [size - 1])).log_probabilities


async def test_greedy_output_equals_plain_transformers(target: LocalEngine) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(bundled.TARGET)
    model = AutoModelForCausalLM.from_pretrained(bundled.TARGET, dtype="float32")
    for number, problem in enumerate(PROBLEMS):
        chat = [{"role": "user", "content": problem.question}]
        batch = tokenizer.apply_chat_template(chat, add_generation_prompt=True, return_tensors="pt", return_dict=True)
        plain = model.generate(**batch, do_sample=False, max_new_tokens=200)[0, batch["input_ids"].shape[1] :].tolist()
        prefix = await prompt_of(target, number)
        assert prefix == batch["input_ids"][0].tolist()
        ours = await target.generate(prefix, max_tokens=200, sampling=GREEDY)
        assert ours.finish is Finish.END
        assert list(ours.ids) == plain[:-1] and plain[-1] == tokenizer.eos_token_id
        assert ours.text == tokenizer.decode(ours.ids)


async def test_a_seed_gives_the_same_tokens_in_any_company(target: LocalEngine) -> None:
    prefix = await prompt_of(target)

    async def sample(seed: int) -> tuple[int, ...]:
        return (await target.generate(prefix, max_tokens=30, sampling=Sampling(2.0), seed=seed)).ids

    # Batches differ in the last digits; these seeds never draw close to the boundary between two tokens.
    seeds = (19, 20, 31)
    alone = [await sample(seed) for seed in seeds]
    together = await asyncio.gather(*(sample(seed) for seed in range(40)))
    assert [together[seed] for seed in seeds] == alone
    assert len(set(together)) > 5


async def test_the_stop_string_stays_and_ends_the_text(target: LocalEngine) -> None:
    prefix = await prompt_of(target)
    written = await target.generate(prefix, max_tokens=200, sampling=GREEDY, stop=["\n\n"])
    assert written.finish is Finish.STOP
    assert written.text.endswith("\n\n") and written.text.count("\n\n") == 1
    # A stop string spread over several tokens, and one that never comes.
    word = await target.generate(prefix, max_tokens=200, sampling=GREEDY, stop=["has "])
    assert word.finish is Finish.STOP and "has " in word.text and "has " not in word.text[:-2]
    never = await target.generate(prefix, max_tokens=7, sampling=GREEDY, stop=["☃"])
    assert never.finish is Finish.LENGTH and len(never.ids) == never.usage.completion == 7


async def test_scores_are_those_of_the_writer_boundary_token_included(target: LocalEngine) -> None:
    prefix = await prompt_of(target)
    written = await target.generate(prefix, max_tokens=80, sampling=WARM, seed=3)
    assert written.log_probabilities is not None
    whole = await target.score(prefix, written.ids)
    assert whole.log_probabilities == pytest.approx(written.log_probabilities, abs=1e-4)
    for cut in (1, 7, len(written.ids) - 1):
        part = await target.score([*prefix, *written.ids[:cut]], written.ids[cut:])
        assert part.log_probabilities == pytest.approx(written.log_probabilities[cut:], abs=1e-4)
        assert part.usage.cached > 0


async def test_many_scores_at_once_agree_with_one_at_a_time(target: LocalEngine) -> None:
    prefixes = [await prompt_of(target, number) for number in range(6)]
    line = await target.tokenize("Leo has 63.\n\n")
    alone = [(await target.score(prefix, line)).log_probabilities for prefix in prefixes]
    together = await asyncio.gather(*(target.score(prefix, line) for prefix in prefixes * 3))
    for number, scoring in enumerate(together):
        assert scoring.log_probabilities == pytest.approx(alone[number % 6], abs=1e-4)


async def test_next_tokens_are_ranked(target: LocalEngine) -> None:
    prefix = await prompt_of(target)
    [first, *rest] = await target.next_token(prefix, top=5)
    assert len(rest) == 4 and all(first[1] >= value for _, value in rest)
    greedy = await target.generate(prefix, max_tokens=1, sampling=GREEDY)
    assert greedy.ids == (first[0],)


async def test_text_goes_round(target: LocalEngine) -> None:
    for text in ("He donates 48: 63-48=15.\n\n", "héllo 漢字 😀", "\n\n\n"):
        assert await target.detokenize(await target.tokenize(text)) == text


async def test_an_open_assistant_message_is_continued(target: LocalEngine) -> None:
    user = Message("user", PROBLEMS[0].question)
    begun = await target.render([user, Message("assistant", "Leo has 63.\n\n")])
    assert begun == [*await target.render([user]), *await target.tokenize("Leo has 63.\n\n")]


async def test_what_cannot_be_done_is_an_error_of_that_request(target: LocalEngine) -> None:
    with pytest.raises(ScoreError):
        await target.score([1, 2], [])
    length = (await target.info()).context_length or 0
    with pytest.raises(NoRoomError, match="do not fit into the context"):
        await target.generate([5] * length, max_tokens=1, sampling=GREEDY)
    with pytest.raises(NoRoomError, match="do not fit into the context"):
        await target.score([5] * length, [5])
    with pytest.raises(NoRoomError, match="do not fit into the context"):
        await target.next_token([5] * (length + 1), top=1)
    short = await target.generate([5] * (length - 3), max_tokens=50, sampling=GREEDY)
    assert len(short.ids) <= 3


async def test_a_model_without_fast_attention_and_without_a_template(tmp_path: Path) -> None:
    def make() -> None:
        from transformers import AutoTokenizer, Gemma2Config, Gemma2ForCausalLM

        tokenizer = AutoTokenizer.from_pretrained(bundled.TARGET)
        shape = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1, "max_position_embeddings": 256}
        heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 32}
        Gemma2ForCausalLM(Gemma2Config(vocab_size=len(tokenizer), **shape, **heads)).save_pretrained(tmp_path)
        tokenizer.chat_template = None
        tokenizer.save_pretrained(tmp_path)

    await asyncio.to_thread(make)
    engine = LocalEngine(str(tmp_path))
    try:
        prefix = await engine.render([Message("user", "Leo has 63."), Message("assistant", "So he")])
        assert prefix == await engine.tokenize("Leo has 63.\n\nSo he")
        written = await engine.generate(prefix, max_tokens=8, sampling=GREEDY)
        scored = await engine.score(prefix, written.ids)
        assert scored.log_probabilities == pytest.approx(written.log_probabilities, abs=1e-4)
    finally:
        await engine.close()


@pytest.mark.parametrize(
    "path", ["{0}", "{0}/missing", "./models/small/missing", "models/small/missing", "~/missing/x"]
)
async def test_what_is_no_model_is_refused_at_once(tmp_path: Path, path: str) -> None:
    with pytest.raises(InputError, match="no model there"):
        await asyncio.to_thread(LocalEngine.open, path.format(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="no tokenizer there"):
        await asyncio.to_thread(LocalEngine.open, str(tmp_path))


async def test_a_cancelled_request_leaves_the_engine_free(target: LocalEngine) -> None:
    prefix = await prompt_of(target)
    tasks = [
        asyncio.create_task(target.generate(prefix, max_tokens=900, sampling=Sampling(5.0), seed=seed))
        for seed in range(8)
    ]
    await sent(target, 8)
    for task in tasks:
        task.cancel()
    assert all(isinstance(r, asyncio.CancelledError) for r in await asyncio.gather(*tasks, return_exceptions=True))
    async with asyncio.timeout(60):
        again = await target.generate(prefix, max_tokens=5, sampling=GREEDY)
    assert len(again.ids) == 5


async def test_a_worker_that_is_killed_is_started_again_and_asked_again(caplog: pytest.LogCaptureFixture) -> None:
    engine = LocalEngine(str(bundled.DRAFT))
    prefix = await prompt_of(engine)

    async def write(seed: int) -> tuple[int, ...]:
        return (await engine.generate(prefix, max_tokens=40, sampling=WARM, seed=seed)).ids

    undisturbed = [await write(seed) for seed in range(4)]
    writing = [asyncio.create_task(write(seed)) for seed in range(4)]
    scoring = asyncio.create_task(engine.score(prefix, undisturbed[0]))
    await sent(engine, 5)
    killed = engine._process
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    async with asyncio.timeout(120):
        assert await asyncio.gather(*writing) == undisturbed
        assert len((await scoring).log_probabilities) == len(undisturbed[0])
    assert "ended with status -9: no message; it is started again (1 of 3)" in caplog.text
    await engine.close()
    with pytest.raises(EngineError, match="the engine is closed"):
        await engine.tokenize("a")


async def test_a_worker_that_keeps_dying_fails_its_requests_with_its_last_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atts.engines.local.RESTARTS", 1)
    engine = LocalEngine(str(bundled.DRAFT))
    request = asyncio.create_task(engine.generate([5], max_tokens=1500, sampling=Sampling(5.0), seed=1))
    for _ in range(2):
        while engine._process is None or engine._process.returncode is not None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        os.kill(engine._process.pid, signal.SIGKILL)
        await engine._process.wait()
    with pytest.raises(EngineError, match="worker process ended with status -9"):
        await request
    with pytest.raises(EngineError):
        await engine.tokenize("a")
    await engine.close()
    await engine.close()


async def test_a_model_that_cannot_be_loaded_is_not_tried_again(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    engine = LocalEngine(str(tmp_path))
    with pytest.raises(EngineError, match="worker process ended with status 1"):
        await engine.info()
    assert len(engine._deaths) == 1
    await engine.close()


async def test_the_worker_ends_with_its_parent() -> None:
    engine = LocalEngine(str(bundled.DRAFT))
    await engine.info()
    process = engine._process
    assert process is not None
    assert process.stdin is not None
    process.stdin.close()  # all that the worker sees of a parent that is gone
    assert await asyncio.wait_for(process.wait(), 60) == 0
    await engine.close()


async def test_scores_while_it_writes_are_those_of_silence(target: LocalEngine) -> None:
    """Generation and scoring run in two threads on the same weights."""
    prompts = [await prompt_of(target, number) for number in range(4)]
    texts = [await target.generate(prompt, max_tokens=24, sampling=GREEDY) for prompt in prompts]
    pairs = list(zip(prompts, (text.ids for text in texts), strict=True))
    alone = [(await target.score(prompt, ids)).log_probabilities for prompt, ids in pairs]
    writing = [
        asyncio.create_task(target.generate(prompt, max_tokens=60, sampling=WARM, seed=seed))
        for prompt in prompts
        for seed in range(4)
    ]
    for (prompt, ids), expected in zip(pairs * 3, alone * 3, strict=True):
        # Of the other prompts' caches nothing is of use: the whole is computed while the texts are written.
        busy = await target.score(prompt[1:2] + prompt[1:], ids)
        assert len(busy.log_probabilities) == len(ids)
        again = await target.score(prompt, ids)
        assert again.log_probabilities == pytest.approx(expected, abs=1e-3)
    await asyncio.gather(*writing)
