"""Certificates and advice as plain data."""

from __future__ import annotations

from fractions import Fraction

from accelsim.mapping.design import Design
from accelsim.mapping.mapping import Granularity
from accelsim.mapping.steps import Step
from accelsim.report import certified as parts
from accelsim.timing import advice as searched
from accelsim.timing import certificate as proven
from accelsim.timing.advice import what_would_buy
from accelsim.timing.certificate import certify
from accelsim.timing.lower import token_elements
from accelsim.timing.words.lower import given_channels


def advised(
    design: Design, percent: float, granularity: Granularity | None = None, source: str | None = None
) -> parts.Advised:
    """The certificate of `design` and what shortens its interval by `percent`.

    Raises what `what_would_buy` raises.
    """
    found = what_would_buy(design, percent, granularity, source)
    return parts.Advised(
        network=design.network.name,
        accelerator=design.accelerator.name,
        granularity=found.granularity,
        certificate=certificate_part(certify(design, granularity, source)),
        advice=_advice(design, found),
    )


def certificate_of(design: Design, granularity: Granularity | None, source: str | None) -> parts.Certificate:
    """The certificate of a design's interval."""
    return certificate_part(certify(design, granularity, source))


def certificate_part(found: proven.Certificate) -> parts.Certificate:
    """A certificate as plain data."""
    return parts.Certificate(
        certified=found.certified,
        reason=found.reason,
        granularity=found.granularity,
        interval_cycles=None if found.interval_cycles is None else float(found.interval_cycles),
        kind=found.kind,
        weight_cycles=found.weight_cycles,
        frames=found.frames,
        stages=found.stages,
        edges=found.edges,
        steps=found.steps,
        alone_cycles=None if found.alone_cycles is None else float(found.alone_cycles),
        gains=tuple(_gain(gain, found.interval_cycles) for gain in found.gains),
    )


def _advice(design: Design, found: searched.Advice) -> parts.Advice:
    return parts.Advice(
        percent=found.percent,
        interval_cycles=float(found.interval_cycles),
        sought_cycles=float(found.sought_cycles),
        reached_cycles=float(found.reached_cycles),
        added_multipliers=found.added_multipliers,
        added_elements=sum(_elements(design, step, found.granularity) for step in found.steps),
        fits=found.fits,
        steps=tuple(_step(step) for step in found.steps),
        alone=tuple(_gain(gain, found.interval_cycles) for gain in found.alone),
    )


def _elements(design: Design, step: Step, granularity: Granularity) -> int:
    """Elements of the room that a step adds."""
    if step.kind == "multipliers":
        return 0
    edge = next(edge for edge in design.edges if edge.name in step.edges)
    if granularity == "word":
        return step.added_tokens * given_channels(design, edge)
    return step.added_tokens * token_elements(edge.tensor, granularity)


def _step(step: Step) -> parts.Step:
    unroll = step.unroll
    axes = ("inputs", "outputs", "window", "pixels")
    return parts.Step(
        kind=step.kind,
        name=step.name,
        before=step.before,
        after=step.after,
        unroll=None if unroll is None else {axis: getattr(unroll, axis) for axis in axes},
        edges=step.edges,
    )


def _gain(gain: proven.Gain, before: Fraction | None) -> parts.Gain:
    assert before is not None, "what is not simulated has no gains"
    reached = gain.interval_cycles
    return parts.Gain(
        step=_step(gain.step),
        interval_cycles=None if reached is None else float(reached),
        gain_percent=None if reached is None else float(100 * (before - reached) / before),
        fits=gain.fits,
    )
