"""The cost model against arithmetic by hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atts.engines.simulated.hardware import GPUS, MODELS, Gpu, Machine, Model, Serving
from atts.errors import InputError

IDEAL = Serving(bandwidth=1, compute=1, doubling=1, memory=1, overhead=0, batch=8, step_tokens=100)
TOY = Machine(
    Gpu(memory=1100, bandwidth=100, flops=10_000), Model(50, layers=1, heads=2, kv_heads=1, head_width=1), 1, IDEAL
)


def test_a_token_of_llama_8b_has_128_kib_and_of_a_32b_twice_that() -> None:
    assert MODELS["8b"].kv_bytes == 128 * 1024
    assert MODELS["32b"].kv_bytes == 256 * 1024


def test_a_step_is_weights_or_compute_and_the_cache() -> None:
    assert TOY.weights_s == 1.0  # 100 bytes at 100 bytes a second
    assert TOY.kv_s == 0.04
    assert TOY.capacity == 250
    assert TOY.decode(2, 50) == pytest.approx(1.0 + 50 * 0.04)
    assert TOY.decode(2, 50, 3) == pytest.approx(sum(1.0 + held * 0.04 for held in (50, 52, 54)))
    computing = 202 * 2 * 50 / 10_000
    attention = 4 * 1 * 2 * 1 * (200 * (20 + 100)) / 10_000
    assert TOY.prefill(2, 50, [(200, 20)]) == pytest.approx(computing + (50 + 20) * 0.04 + attention)


@given(st.integers(1, 256), st.integers(1, 10**6), st.integers(1, 5000))
def test_steps_after_undoes_decode(batch: int, held: int, steps: int) -> None:
    machine = Machine.named("8b@h100")
    assert machine.steps_after(machine.decode(batch, held, steps), batch, held) == pytest.approx(steps)


def test_more_gpus_are_faster_but_not_in_proportion() -> None:
    one, two = Machine.named("8b@h100"), Machine.named("8b@2xH100")
    assert 1 < one.weights_s / two.weights_s < 2
    assert two.capacity > 2 * one.capacity


@pytest.mark.parametrize("name", ["8b", "8b@h1000", "9b@h100", "8b@0xh100", "@", "8b@2x"])
def test_a_wrong_name_says_what_would_be_right(name: str) -> None:
    with pytest.raises(InputError, match="32b@2xh100"):
        Machine.named(name)


def test_weights_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InputError, match="141 GB of weights do not fit into 72 GB"):
        Machine.named("70b@h100")
    assert all(Machine.named(f"{model}@4x{gpu}").capacity > 0 for model in MODELS for gpu in GPUS)
