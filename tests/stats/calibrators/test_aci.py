from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from atts.stats.calibrators.aci import ACI
from tests.stats.calibrators.streams import R1, STEPS, Steps, decided, made


@given(steps=STEPS, rate=st.floats(0.01, 0.99))
def test_a_single_integrator_keeps_the_bound_of_classical_aci(steps: Steps, rate: float) -> None:
    calibrator = made(replace(R1, name="aci", rate=rate))
    eta = ACI.STEPS["all"]
    for n, decision in enumerate(decisions := decided(calibrator, steps), start=1):
        bound = max(rate + eta * (1 - rate), 1 - rate + eta * rate) / (eta * n)
        assert abs(sum(d.rejected for d in decisions[:n]) / n - rate) <= bound + 1e-9, decision
