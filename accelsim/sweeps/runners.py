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
from itertools import islice
from multiprocessing import active_children, get_context
from signal import SIG_IGN, SIGINT, signal
from threading import Thread
from typing import Any

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
        pool, left = _Pool(plan, workers), iter(chunks)
        try:
            pool.submit(islice(left, AHEAD * workers))
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
        self.tries: dict[int, int] = {}
        self.waiting: dict[Future[Found], Chunk] = {}
        self._start()

    def _start(self) -> None:
        self.others = set(active_children())
        self.executor = ProcessPoolExecutor(self.workers, get_context(START), _started, (os.getpid(),))

    def submit(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self.waiting[self._begun(chunk)] = chunk

    def _begun(self, chunk: Chunk) -> Future[Found]:
        """The chunk under way; lost at once where a worker has been lost since."""
        try:
            with warnings.catch_warnings():
                # a copy does arithmetic alone, and takes none of the locks that threads of this process may hold
                warnings.filterwarnings("ignore", "This process.*is multi-threaded", DeprecationWarning)
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
        """New processes for what was under way; what lost its worker too often is told so."""
        self.end(kill=True)
        chunks, self.waiting = [*self.waiting.values()], {}
        self._start()
        for chunk in chunks:
            tries = self.tries[chunk.number] = self.tries.get(chunk.number, 0) + 1
            if tries < MOST_TRIES:
                self.submit([chunk])
            else:
                yield chunk, lost(self.plan, chunk.speed, chunk.points, tries)

    def end(self, kill: bool) -> None:
        for worker in set(active_children()) - self.others if kill else ():
            worker.kill()
        self.executor.shutdown(wait=True, cancel_futures=kill)


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
