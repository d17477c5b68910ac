"""Who does the chunks: this process, others on this computer, or the workers of a cluster.

Each takes a plan and chunks, as many at a time as keep it busy, and gives back each chunk with what was found of it, in
whatever order they come. A worker that is lost costs its chunks another try.
"""

from __future__ import annotations

import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from itertools import islice
from multiprocessing import get_context
from signal import SIG_IGN, SIGINT, getsignal, signal
from threading import Thread, current_thread, main_thread
from typing import Any

from numba.core.compiler_lock import global_compiler_lock

from accelsim.errors import InputError
from accelsim.sweeps.chunks import Chunk, done
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.table import Found, lost

Done = tuple[Chunk, Found]
Runner = Callable[[Plan, Iterable[Chunk]], Iterator[Done]]

#: Chunks under way for each worker: one being done, one waiting for it.
AHEAD = 2
#: Times that a chunk may lose its worker before its points are told as lost.
MOST_TRIES = 3
#: How processes are started: where it is safe as copies of this one, which know what it has read and compiled.
START = "fork" if sys.platform == "linux" else "spawn"
#: How often a worker looks whether the process that started it is still there.
ORPHANED_SECONDS = 1.0
#: How long a scheduler may take to answer at first.
ANSWER_SECONDS = 10


def here(plan: Plan, chunks: Iterable[Chunk]) -> Iterator[Done]:
    """One after the other, in this process."""
    for chunk in chunks:
        yield chunk, done(plan, chunk)


def processes(workers: int) -> Runner:
    """A runner over `workers` processes of this computer."""

    def run(plan: Plan, chunks: Iterable[Chunk]) -> Iterator[Done]:
        left = iter(chunks)
        first = [*islice(left, AHEAD * workers)]
        pool = _Pool(plan, max(1, min(workers, len(first))))
        try:
            pool.submit(first)
            while pool.waiting:
                finished = list(pool.finished())
                pool.submit(islice(left, max(0, AHEAD * workers - len(pool.waiting))))
                yield from finished
        except BaseException:
            pool.end(kill=True)
            raise
        pool.end(kill=False)

    return run


class _Pool:
    """Processes that are started again where one is lost."""

    def __init__(self, plan: Plan, workers: int) -> None:
        self.plan, self.workers = plan, workers
        self.waiting: dict[Future[Found], Chunk] = {}
        self._start()

    def _start(self) -> None:
        self.executor = ProcessPoolExecutor(self.workers, get_context(START), _started, (os.getpid(),))

    def submit(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self.waiting[self._begun(chunk)] = chunk

    def _begun(self, chunk: Chunk) -> Future[Found]:
        """The chunk under way; lost at once where a worker has been lost since."""
        try:
            with _copying():
                return self.executor.submit(done, self.plan, chunk)
        except BrokenProcessPool as error:
            lost_at_once: Future[Found] = Future()
            lost_at_once.set_exception(error)
            return lost_at_once

    def finished(self) -> Iterator[Done]:
        """What has been done since, at least one chunk unless a worker was lost."""
        ready, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        broken = False
        for future in ready:
            try:
                found = future.result()
            except BrokenProcessPool:
                broken = True
                continue
            yield self.waiting.pop(future), found
        if broken:
            yield from self._restarted()

    def _restarted(self) -> Iterator[Done]:
        """What was under way, with new processes and one chunk at a time: none is lost by another's fault."""
        self._restart()
        chunks, self.waiting = [*self.waiting.values()], {}
        for chunk in chunks:
            yield chunk, self._again(chunk)

    def _again(self, chunk: Chunk) -> Found:
        for _ in range(1, MOST_TRIES):
            try:
                return self._begun(chunk).result()
            except BrokenProcessPool:
                self._restart()
        return lost(self.plan, chunk.speed, chunk.points, MOST_TRIES)

    def _restart(self) -> None:
        self.end(kill=True)
        self._start()

    def end(self, kill: bool) -> None:
        for worker in [*(self.executor._processes or {}).values()] if kill else ():
            worker.kill()
        self.executor.shutdown(wait=True, cancel_futures=kill)


@contextmanager
def _copying() -> Iterator[None]:
    """While this process is copied, which the first chunk does.

    A copy has every lock as it was and none of the threads that would let go of them. It does arithmetic alone, for
    which it takes the lock under which numba compiles; so no other thread may have that one.
    """
    with _interrupts_later(), global_compiler_lock, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This process.*is multi-threaded", DeprecationWarning)
        yield


@contextmanager
def _interrupts_later() -> Iterator[None]:
    """Interrupts are told afterwards: raised while a process is copied, Python prints them and forgets them."""
    usual = getsignal(SIGINT)
    if current_thread() is not main_thread() or not callable(usual):
        yield
        return
    came: list[Any] = []
    signal(SIGINT, lambda *told: came.append(told))
    try:
        yield
    finally:
        signal(SIGINT, usual)
    for told in came[:1]:
        usual(*told)


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _started(parent: int) -> None:
    """Makes a worker of a process: an interrupt is for the one that started it, and without that one it ends."""
    signal(SIGINT, SIG_IGN)
    Thread(target=_end_with, args=(parent,), daemon=True).start()


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(ORPHANED_SECONDS)
    os._exit(1)


def dask_workers(address: str) -> Runner:
    """A runner over the workers of a Dask scheduler at `address`. Raises `InputError` where there is none."""

    def run(plan: Plan, chunks: Iterable[Chunk]) -> Iterator[Done]:
        client, distributed = _client(address)
        with client:
            left = iter(chunks)
            sent = client.scatter(plan, broadcast=True, hash=False)
            room = AHEAD * max(1, len(client.nthreads()))
            chunk_of = {client.submit(done, sent, chunk, pure=False): chunk for chunk in islice(left, room)}
            finished = distributed.as_completed(chunk_of, loop=client.loop)
            for future in finished:
                for chunk in islice(left, 1):
                    following = client.submit(done, sent, chunk, pure=False)
                    chunk_of[following] = chunk
                    finished.add(following)
                chunk = chunk_of.pop(future)
                try:
                    yield chunk, future.result()
                except distributed.KilledWorker:
                    yield chunk, lost(plan, chunk.speed, chunk.points, MOST_TRIES)

    return run


def _client(address: str) -> tuple[Any, Any]:
    try:
        import distributed
    except ImportError:
        raise InputError("a cluster needs the extra [cluster]: pip install 'accelsim[cluster]'") from None
    try:
        return distributed.Client(address, timeout=ANSWER_SECONDS, set_as_default=False), distributed
    except (OSError, ValueError) as error:
        raise InputError(f"cluster {address}: no scheduler answers ({str(error).splitlines()[0]})") from None
