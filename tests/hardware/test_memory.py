"""Cycles of memory requests against the formulas, and what more bandwidth must never do."""

from fractions import Fraction
from math import ceil, floor

from hypothesis import assume, given
from hypothesis import strategies as st

from accelsim.hardware.memory import Memory, MemoryPort

#: Efficiencies as people write them.
efficiencies = st.integers(1, 1000).map(lambda thousandths: thousandths / 1000)

memories = st.builds(
    lambda read_bits, write_bits, banks, latency, burst, outstanding, efficiency: Memory(
        size=2**40,
        port=MemoryPort(read_bits=read_bits, write_bits=write_bits),
        banks=banks,
        latency_cycles=latency,
        burst=burst,
        outstanding=outstanding,
        efficiency=efficiency,
    ),
    st.integers(1, 4096),
    st.integers(1, 4096),
    st.integers(1, 64),
    st.integers(0, 500),
    st.integers(1, 512),
    st.integers(1, 100),
    efficiencies,
)
amounts = st.integers(1, 10**7)


def changed(memory, **fields):
    return memory.model_copy(update=fields)


def bits_of(memory, write):
    return memory.port.write_bits if write else memory.port.read_bits


def bursts_of(memory, moved_bytes):
    """Whole bursts, counted by taking bursts away until nothing is left over."""
    whole, rest = divmod(moved_bytes, memory.burst)
    return whole + (rest > 0)


@given(memory=memories, write=st.booleans())
def test_bandwidth_is_banks_times_bits_times_efficiency(memory, write):
    thousandths = round(memory.efficiency * 1000)
    assert memory.bytes_per_cycle(write) == Fraction(memory.banks * bits_of(memory, write) * thousandths, 8 * 1000)


@given(memory=memories, moved=amounts, write=st.booleans())
def test_a_request_holds_the_port_for_its_whole_bursts(memory, moved, write):
    held = memory.held_cycles(moved, write)
    bits = bursts_of(memory, moved) * memory.burst * 8
    usable = Fraction(memory.banks * bits_of(memory, write) * round(memory.efficiency * 1000), 1000)
    assert held >= 1
    assert held * usable >= bits
    assert held == 1 or (held - 1) * usable < bits


@given(memory=memories, moved=amounts, write=st.booleans())
def test_littles_law_holds(memory, moved, write):
    """Never more bursts in the time they take than `outstanding` of them at once allow."""
    bursts, cycles = bursts_of(memory, moved), memory.request_cycles(moved, write)
    rate = memory.bytes_per_cycle(write)
    in_flight_cycles = bursts * (memory.latency_cycles + Fraction(memory.burst) / rate)
    assert cycles * memory.outstanding >= in_flight_cycles
    assert cycles == max(memory.held_cycles(moved, write), ceil(in_flight_cycles / memory.outstanding))


@given(memory=memories, moved=amounts, write=st.booleans())
def test_no_request_is_faster_than_the_port(memory, moved, write):
    assert memory.request_cycles(moved, write) >= memory.held_cycles(moved, write)
    assert memory.held_cycles(moved, write) >= moved / memory.bytes_per_cycle(write)
    assert memory.requester_bytes_per_cycle(write) <= memory.bytes_per_cycle(write)


@given(memory=memories, moved=amounts, write=st.booleans(), factor=st.integers(1, 8))
def test_more_is_never_slower(memory, moved, write, factor):
    port = MemoryPort(read_bits=memory.port.read_bits * factor, write_bits=memory.port.write_bits * factor)
    better = [
        changed(memory, port=port),
        changed(memory, banks=memory.banks * factor),
        changed(memory, efficiency=min(1.0, round(memory.efficiency * factor, 3))),
        changed(memory, latency_cycles=memory.latency_cycles // factor),
        changed(memory, outstanding=memory.outstanding * factor),
    ]
    for other in better:
        assert other.held_cycles(moved, write) <= memory.held_cycles(moved, write)
        assert other.request_cycles(moved, write) <= memory.request_cycles(moved, write)


@given(memory=memories, moved=amounts, more=st.integers(0, 1000), write=st.booleans())
def test_moving_more_takes_no_less(memory, moved, more, write):
    assert memory.held_cycles(moved, write) <= memory.held_cycles(moved + more, write)
    assert memory.request_cycles(moved, write) <= memory.request_cycles(moved + more, write)


@given(memory=memories, bursts=st.integers(1, 10**4), part=st.integers(0, 10**4), write=st.booleans())
def test_a_part_of_a_burst_costs_all_of_it(memory, bursts, part, write):
    whole = bursts * memory.burst
    partial = whole - part % memory.burst
    assert memory.held_cycles(partial, write) == memory.held_cycles(whole, write)
    assert memory.request_cycles(partial, write) == memory.request_cycles(whole, write)


@given(memory=memories, moved=amounts)
def test_reads_and_writes_differ_by_their_bits_only(memory, moved):
    turned = MemoryPort(read_bits=memory.port.write_bits, write_bits=memory.port.read_bits)
    other = changed(memory, port=turned)
    assert memory.held_cycles(moved, True) == other.held_cycles(moved, False)
    assert memory.request_cycles(moved, False) == other.request_cycles(moved, True)


def clocked(bursts, latency, transfer, outstanding):
    """Cycles until `bursts` are in, one requester alone, told burst by burst: data leave in order, one at a time."""
    done = []
    for burst in range(bursts):
        asked = done[burst - outstanding] if burst >= outstanding else 0
        free = done[-1] if done else 0
        done.append(max(asked + latency, free) + transfer)
    return done[-1]


@given(
    bits=st.sampled_from([8, 16, 64]),
    burst_cycles=st.integers(1, 9),
    latency=st.integers(0, 60),
    outstanding=st.integers(1, 8),
)
def test_long_transfers_go_at_the_rate_of_a_requester_told_burst_by_burst(bits, burst_cycles, latency, outstanding):
    memory = Memory(
        size=2**30,
        port=MemoryPort(read_bits=bits, write_bits=bits),
        burst=bits // 8 * burst_cycles,
        latency_cycles=latency,
        outstanding=outstanding,
    )
    some, more = 50 * outstanding, 90 * outstanding
    told = clocked(more, latency, burst_cycles, outstanding) - clocked(some, latency, burst_cycles, outstanding)
    assert memory.request_cycles((more - some) * memory.burst, False) == told


@given(memory=memories, cycles=st.integers(1, 1000), write=st.booleans())
def test_what_fits_in_some_cycles_holds_no_longer(memory, cycles, write):
    fitting = floor(cycles * memory.bytes_per_cycle(write)) // memory.burst * memory.burst
    assume(fitting > 0)
    assert memory.held_cycles(fitting, write) <= cycles
