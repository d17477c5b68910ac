"""Who does the chunks: this process, others on this computer, or the workers of a cluster.

Each takes a plan and chunks, as many at a time as keep it busy, and gives back each chunk with its rows in whatever
order they come. A worker that is lost costs its chunks another try.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from signal import SIG_IGN, SIGINT, signal
from typing import Any, cast

import polars as pl

from accelsim.errors import InputError
from accelsim.sweeps.chunks import Chunk, done
from accelsim.sweeps.plan import Plan
from accelsim.sweeps.table import lost

Done = tuple[Chunk, pl.DataFrame]
Runner = Callable[[Plan, Iterable[Chunk]], Iterator[Done]]

#: Chunks under way for each worker: one being done, one waiting for it.
AHEAD = 2
#: Times that a chunk may lose its worker before its points are told as lost.
MOST_TRIES = 3
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
        self.waiting: dict[Future[Any], Chunk] = {}
        self._start()

    def _start(self) -> None:
        from loky import ProcessPoolExecutor

        self.executor = ProcessPoolExecutor(self.workers, timeout=None, initializer=_leave_interrupts)

    def submit(self, chunks: Iterable[Chunk]) -> None:
        for chunk in chunks:
            self.waiting[self._begun(chunk)] = chunk

    def _begun(self, chunk: Chunk) -> Future[Any]:
        """The chunk under way; lost at once where a worker has been lost since."""
        try:
            return cast("Future[Any]", self.executor.submit(done, self.plan, chunk))
        except BrokenProcessPool as error:
            lost_at_once: Future[Any] = Future()
            lost_at_once.set_exception(error)
            return lost_at_once

    def finished(self) -> Iterator[Done]:
        """What has been done since, at least one chunk unless a worker was lost."""
        ready, _ = wait(self.waiting, return_when=FIRST_COMPLETED)
        broken = False
        for future in ready:
            try:
                rows = future.result()
            except BrokenProcessPool:
                broken = True
                continue
            yield self.waiting.pop(future), rows
        if broken:
            yield from self._restarted()

    def _restarted(self) -> Iterator[Done]:
        """New processes for what was under way; what lost its worker too often is told so."""
        self.executor.shutdown(wait=False, kill_workers=True)
        chunks, self.waiting = [*self.waiting.values()], {}
        self._start()
        for chunk in chunks:
            tries = self.tries[chunk.number] = self.tries.get(chunk.number, 0) + 1
            if tries < MOST_TRIES:
                self.submit([chunk])
            else:
                yield chunk, lost(self.plan, chunk.speed, chunk.points, tries)

    def end(self, kill: bool) -> None:
        self.executor.shutdown(wait=True, kill_workers=kill)


def _leave_interrupts() -> None:
    """An interrupt is for the process that started the workers: it ends them."""
    signal(SIGINT, SIG_IGN)


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
