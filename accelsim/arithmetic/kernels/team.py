"""Work in parts that several threads take, written as LLVM instructions.

A board is an array of words, each in cache lines of its own, through which the threads of a team speak. The one that
calls has seat 0: it puts up the work, does parts of it until none is left, takes the work down and waits for whoever is
still inside. Others watch the board and help. Every part is done once, by whoever comes, so that a helper that sleeps,
or that a copy of the process does not have, costs time and nothing else.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from accelsim.arithmetic.kernels.tiles import ADDRESS, kept, kept_in_cache, pointer

#: Bytes from word to word of a board: what processors fetch at once, lines in pairs.
APART = 128
#: Words of a board: whether a caller has it, number of the work that is up (or 0) and of the last, its function and
#: operands, seats it has, helpers at it, whether it failed on anyone, whether the team is over.
TAKEN, UP, LAST, FUNCTION, OPERANDS, SEATS, INSIDE, FAILED, OVER = range(0, 9 * APART, APART)
#: Seats of a board and stages of a work, at most. For each stage there are parts that are done and every seat's next.
MOST_SEATS, STAGES = 64, 2
DONE, NEXT, STAGE = 9 * APART, 10 * APART, (1 + MOST_SEATS) * APART
#: For each seat, whether its helper watches.
AWAKE = 9 * APART + STAGES * STAGE


def new_board() -> NDArray[np.int64]:
    """A board with nothing up."""
    return np.zeros((AWAKE + MOST_SEATS * APART) // 8, np.int64)


@kept
@intrinsic
def seen(typing_context: Any, address: Any) -> Any:
    """The word at an address, after all that its writer wrote before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load_atomic(pointer(builder, arguments[0], ADDRESS), "seq_cst", 8)

    return types.intp(types.intp), generate


@kept
@intrinsic
def shown(typing_context: Any, address: Any, value: Any) -> Any:
    """Writes a word, after all that was written before."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store_atomic(arguments[1], pointer(builder, arguments[0], ADDRESS), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


def _at_once(operation: str) -> Any:
    """Reads a word and writes another, with nobody in between."""

    @intrinsic
    def changed(typing_context: Any, address: Any, value: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.atomic_rmw(operation, pointer(builder, arguments[0], ADDRESS), arguments[1], "seq_cst")

        return types.intp(types.intp, types.intp), generate

    return kept_in_cache(changed, operation)


#: (address, value): what the word was before `value` was added to it, and before `value` took its place.
raised, swapped = _at_once("add"), _at_once("xchg")


@kept
@intrinsic
def pause(typing_context: Any) -> Any:
    """Leaves the processor's units to others for a moment."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ir.VoidType(), [])
        builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@kept
@intrinsic
def ticks(typing_context: Any) -> Any:
    """The processor's clock."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.FunctionType(ADDRESS, [])
        return builder.call(cgutils.get_or_insert_function(builder.module, kind, "llvm.readcyclecounter"), [])

    return types.intp(), generate


@kept
@intrinsic
def lent(typing_context: Any, array: Any) -> Any:
    """The array without its owner, whom the caller knows to stay: threads that count references wait for each other."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        made = context.make_array(array)(context, builder, value=arguments[0])
        made.meminfo = ir.Constant(made.meminfo.type, None)
        made.parent = ir.Constant(made.parent.type, None)
        return made._getvalue()

    return array(array), generate


@kept
@intrinsic
def put_up(typing_context: Any, board: Any, work: Any, operands: Any) -> Any:
    """Writes on the board what calls work(board, seat, operands), which stay in this caller's frame."""
    called = work.get_call_type(typing_context, (types.intp, types.intp, operands), {})

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        slot = cgutils.alloca_once_value(builder, arguments[2])
        kind = ir.FunctionType(ir.VoidType(), [ADDRESS] * 3)
        function = ir.Function(builder.module, kind, builder.module.get_unique_name("work"))
        function.linkage = "internal"
        inner = ir.IRBuilder(function.append_basic_block())
        value = inner.load(inner.inttoptr(function.args[2], slot.type))
        overload = work.dispatcher.overloads[called.args]
        context.add_linking_libs([overload.library])
        status, _ = context.call_internal_no_propagate(inner, overload.fndesc, called, [*function.args[:2], value])
        with cgutils.if_unlikely(inner, status.is_error):
            inner.store(ADDRESS(1), pointer(inner, inner.add(function.args[0], ADDRESS(FAILED)), ADDRESS))
        inner.ret_void()
        for word, made in ((FUNCTION, function), (OPERANDS, slot)):
            place = pointer(builder, builder.add(arguments[0], ADDRESS(word)), ADDRESS)
            builder.store(builder.ptrtoint(made, ADDRESS), place)
        return context.get_dummy_value()

    return types.void(types.intp, work, operands), generate


@kept
@intrinsic
def join_in(typing_context: Any, board: Any, seat: Any) -> Any:
    """Does what is up on the board; an error is noted there."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words = [
            builder.load(pointer(builder, builder.add(arguments[0], ADDRESS(word)), ADDRESS))
            for word in (FUNCTION, OPERANDS)
        ]
        kind = ir.FunctionType(ir.VoidType(), [ADDRESS] * 3)
        builder.call(builder.inttoptr(words[0], kind.as_pointer()), [*arguments, words[1]])
        return context.get_dummy_value()

    return types.void(types.intp, types.intp), generate


@kept
@njit(cache=True, nogil=True, error_model="numpy")
def next_part(board: Any, stage: Any, seat: Any, parts: Any) -> Any:
    """A part of a stage that nobody has taken, of the seat's own share while there is one; `parts` if there is none."""
    seats = seen(board + SEATS)
    for other in range(seats):
        owner = (seat + other) % seats
        end = (owner + 1) * parts // seats
        place = board + stage * STAGE + NEXT + owner * APART
        if seen(place) < end:
            part = raised(place, 1)
            if part < end:
                return part
    return parts


@kept
@njit(cache=True, nogil=True)
def part_done(board: Any, stage: Any) -> None:
    raised(board + stage * STAGE + DONE, 1)


@kept
@njit(cache=True, nogil=True)
def wait_for(board: Any, stage: Any, parts: Any) -> None:
    """Until all parts of a stage are done, or one has failed."""
    while seen(board + stage * STAGE + DONE) < parts and seen(board + FAILED) == 0:
        pause()


@kept
@njit(cache=True, nogil=True)
def taken(words: Any) -> Any:
    """The board, which is the caller's now; where it is another's, one that nobody watches."""
    return words if swapped(words.ctypes.data + TAKEN, 1) == 0 else np.zeros_like(words)


@kept
@njit(cache=True, nogil=True, error_model="numpy")
def open_work(board: Any, seats: Any, stages: Any) -> None:
    """Lets helpers in to what is put up, which has so many parts in each of its stages."""
    for stage in range(len(stages)):
        shown(board + stage * STAGE + DONE, 0)
        for seat in range(seats):
            shown(board + stage * STAGE + NEXT + seat * APART, seat * stages[stage] // seats)
    shown(board + SEATS, seats)
    shown(board + FAILED, 0)
    shown(board + UP, raised(board + LAST, 1) + 1)


@kept
@njit(cache=True, nogil=True)
def close_work(words: Any) -> bool:
    """Lets nobody in, waits for those inside and gives the board back; whether all went well."""
    board = words.ctypes.data
    shown(board + UP, 0)
    while seen(board + INSIDE) > 0:
        pause()
    well: bool = seen(board + FAILED) == 0
    shown(board + TAKEN, 0)
    return well


@kept
@njit(cache=True, nogil=True)
def help_out(words: Any, seat: Any, patience: Any) -> None:
    """Helps with whatever is put up until nothing was for `patience` ticks, or the team is over."""
    board = words.ctypes.data
    shown(board + AWAKE + seat * APART, 1)
    last, since = 0, ticks()
    while seen(board + OVER) == 0 and ticks() - since < patience:
        number = seen(board + UP)
        if number not in (0, last):
            last = number
            raised(board + INSIDE, 1)
            # What is up now stays until this helper is out; what was a moment ago may be gone.
            if seen(board + UP) > 0 and seat < seen(board + SEATS):
                join_in(board, seat)
                since = ticks()
            raised(board + INSIDE, -1)
        pause()
    shown(board + AWAKE + seat * APART, 0)
