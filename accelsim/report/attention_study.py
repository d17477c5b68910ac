"""What to do about maps that wait for squeeze-excite gates: every way out, simulated on one machine at one rate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from accelsim.hardware.accelerator import Accelerator
from accelsim.network.attention import find_attention
from accelsim.network.gates import find_gates
from accelsim.network.graph import Network

if TYPE_CHECKING:
    import polars as pl

    from accelsim.report.ways_out import Question, Way

#: What the figures rest on; the study fills in `budget`.
ASSUMPTIONS = (
    "On chip are weights (those of a layer that is there twice, twice) and buffers; buffers of pipelines are sized "
    "together so that they keep the frame rate, which is sufficient and not the least.",
    "spill: what waits at gates, and skips round them; the largest maps first, as long as the memory's port keeps up.",
    "deep: twice the multipliers in the layers of the smallest maps, as many sizes of map as stay within {budget} "
    "times the multipliers of se.",
    "segments: cut for fewest cycles, with no more memory on chip than the smallest pipeline above that spills "
    "nothing; the multipliers of se, doubled until the frame rate is reached.",
    "Accuracy is not judged; what changes values says so.",
)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class AttentionRow(_Part):
    """One way out. Bytes of traffic are a frame's; figures are null where the way is not there, and `note` says why."""

    variant: str
    changes_values: bool = Field(description="whether results are others than those of the network as it is")
    on_chip_bytes: int | None = Field(default=None, description="weights and buffers in the first memory")
    buffer_bytes: int | None = Field(default=None, description="of these, buffers")
    weight_bytes: int | None = Field(default=None, description="of these, weights")
    off_chip: dict[str, float] | None = Field(
        default=None, description="bytes read and written at the last memory, by kind"
    )
    off_chip_bytes: float | None = Field(default=None, description="sum of these")
    macs: int | None = None
    parameters: int | None = Field(
        default=None, description="trained values, those of a layer that is there twice once"
    )
    multipliers: int | None = None
    interval_cycles: float | None = None
    latency_cycles: int | None = None
    frames_per_second: float | None = None
    frames_in_flight: float | None = None
    energy_pj: float | None = Field(default=None, description="a frame; null where the machine has no technology")
    note: str | None = None


class AttentionStudy(_Part):
    """What `attention --json` prints."""

    network: str
    accelerator: str
    clock_hz: int
    target_fps: float | None = Field(description="null: as fast as the machine's multipliers go")
    tile_rows: int
    multiplier_budget: float = Field(description="of faster deep layers, as a multiple of the multipliers of se")
    blocks: int = Field(description="squeeze-excite blocks")
    gates: int = Field(description="multiplies with a map that waits for what is made from it over space")
    rows: tuple[AttentionRow, ...]
    assumptions: tuple[str, ...]
    not_modelled: tuple[str, ...]
    warnings: tuple[str, ...]

    @cached_property
    def table(self) -> pl.DataFrame:
        """One row a way out; traffic by kind in columns of its own."""
        import polars as pl

        kinds = dict.fromkeys(kind for row in self.rows for kind in row.off_chip or {})
        rows = [
            row.model_dump(exclude={"off_chip"})
            | {
                f"off_chip_{kind}_bytes": (row.off_chip or {}).get(kind, 0.0 if row.off_chip else None)
                for kind in kinds
            }
            for row in self.rows
        ]
        return pl.DataFrame(rows, infer_schema_length=None)

    def __str__(self) -> str:
        from accelsim.report.attention_text import study_text

        return study_text(self)


def attention_study(
    net: Network,
    accelerator: Accelerator,
    target_fps: float | None = 30.0,
    rows: int = 7,
    multiplier_budget: float = 1.75,
    progress: Callable[[str], None] | None = None,
) -> AttentionStudy:
    """Squeeze-excite as it is beside tiles of `rows` rows, spilling, recomputing, faster deep layers and segments.

    All pipelines have the fewest multipliers that reach `target_fps` frames a second (None: the fastest pipeline
    that the machine has multipliers for), and buffers sized together for that rate. Deep layers are made faster
    within `multiplier_budget` times the multipliers of the network as it is. `progress` is told the name of each
    way before it runs. Raises `InputError` where the machine describes no memories or is no spatial engine, and
    `InfeasibleError` where the network as it is does not reach the rate.
    """
    from accelsim.report.ways_out import Question, ways_out

    question = Question(net, accelerator, target_fps, rows, multiplier_budget)
    return study_of(question, ways_out(question, progress))


def study_of(question: Question, ways: Sequence[Way]) -> AttentionStudy:
    """The study that simulated `ways` add up to."""
    net, machine = question.network, question.accelerator
    gates = len(find_gates(net))
    absent = f"{net.name} has no map that waits for a gate: only what helps any network is left of the ways out"
    return AttentionStudy(
        network=net.name,
        accelerator=machine.name,
        clock_hz=machine.clock_hz,
        target_fps=question.target_fps,
        tile_rows=question.rows,
        multiplier_budget=question.multiplier_budget,
        blocks=len(find_attention(net)),
        gates=gates,
        rows=tuple(way.row for way in ways),
        assumptions=tuple(text.format(budget=f"{question.multiplier_budget:g}") for text in ASSUMPTIONS),
        not_modelled=tuple(dict.fromkeys(name for way in ways if way.report for name in way.report.body.not_modelled)),
        warnings=() if gates else (absent,),
    )
