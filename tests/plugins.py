"""Plug-in packages as `pip` leaves them behind: modules beside a folder of metadata with entry points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent

EVERYTHING = dedent("""
    import atts.stats.calibrators as calibrators
    from atts.engines.scripted import open_scripted
    from atts.pipeline.strategies.atts import Atts
    from atts.types import Message, Problem

    def surprise(evidence):
        "How surprised the target is at its worst token."
        return -float(evidence.target.min())

    class Patient(Atts):
        "As atts, with an option that does nothing."
        patience: int = 3

    def echo(address, options):
        "A scripted engine under another name."
        return open_scripted(address, options)

    def lenient(answer, problem):
        "Right if the known answer is in it."
        return problem.answer in answer

    def last_word(text):
        "The last word, if the text says that it is the answer."
        words = text.split()
        return words[-1].strip(".") if "boxed" in text else None

    def twins():
        "Two questions with one answer."
        return (Problem(f"twin/{number}", f"What is {number} + 1?", "42") for number in (1, 2))

    def polite(problem):
        "Asks nicely."
        return [Message("system", "You are kind."), ("user", f"Please: {problem.question}")]

    class Half(calibrators.RateCalibrator):
        "Takes over every second chunk."
        def p_value(self, chunk, score, u):
            return float(self._next % 2)
""")

POINTS: Mapping[str, str] = {
    "scores": "surprise = {module}:surprise",
    "strategies": "patient = {module}:Patient",
    "engines": "echo = {module}:echo",
    "graders": "lenient = {module}:lenient",
    "rules": "last-word = {module}:last_word",
    "datasets": "twins = {module}:twins",
    "prompts": "polite = {module}:polite",
    "calibrators": "half = {module}:Half",
}
"""One of each kind, by the group of its entry point."""


def install(site: Path, name: str, version: str, code: str = EVERYTHING, points: Mapping[str, str] = POINTS) -> str:
    """Put a package with one module and these entry points into a folder; an earlier one goes. Its module's name."""
    module = name.replace("-", "_")
    site.mkdir(exist_ok=True)
    for before in site.glob(f"{module}-*.dist-info/*"):
        before.unlink()
    for before in site.glob(f"{module}-*.dist-info"):
        before.rmdir()
    (site / f"{module}.py").write_text(code)
    metadata = site / f"{module}-{version}.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (metadata / "RECORD").write_text(f"{module}.py,,\n{metadata.name}/METADATA,,\n")
    groups = (f"[atts.{group}]\n{point.format(module=module)}\n" for group, point in points.items())
    (metadata / "entry_points.txt").write_text("\n".join(groups))
    return module
