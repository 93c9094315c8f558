"""Parts for tests that need no GPU: an engine by script, model servers on loopback, a clock that jumps.

    ScriptedEngine   speaks the engine protocol by a `Script`: what it writes, how long it takes, when it fails
    steps            a script's text: numbered steps and a boxed answer
    serve            a server that speaks SGLang's or vLLM's interface, any engine behind it, faults on request
    run_virtually    `asyncio.run` on a clock that jumps over every wait: hours in seconds, the same each time

What stands in `__all__` is as much of a promise as what `atts` exports. A server can be had by command too:

    python -m atts.testing sglang bundled:target --port 30000
    python -m atts.testing vllm local:./my-model --port 8000 --faults 0.1
"""

from atts.engines.scripted import Script, ScriptedEngine, steps
from atts.engines.simulated.clock import Deadlock, VirtualLoop, run_virtually
from atts.testing.faults import FAULTS, Faults
from atts.testing.server import DIALECTS, ModelServer, serve

__all__ = [
    "DIALECTS",
    "FAULTS",
    "Deadlock",
    "Faults",
    "ModelServer",
    "Script",
    "ScriptedEngine",
    "VirtualLoop",
    "run_virtually",
    "serve",
    "steps",
]
