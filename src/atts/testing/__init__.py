"""Servers for trying and testing without a GPU: real HTTP, real protocols, any engine behind, faults on request.

python -m atts.testing sglang bundled:target --port 30000
python -m atts.testing vllm local:./my-model --port 8000 --faults 0.1
"""

from atts.testing.faults import FAULTS, Faults
from atts.testing.server import DIALECTS, ModelServer, serve

__all__ = ["DIALECTS", "FAULTS", "Faults", "ModelServer", "serve"]
