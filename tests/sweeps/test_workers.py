"""A lost worker, a killed sweep and a cluster: nothing that was reported done is lost, and the bytes are the same."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import wait
from contextlib import contextmanager
from multiprocessing import Process, active_children
from pathlib import Path

import pytest

import accelsim as acs
from accelsim.sweeps.chunks import POINTS, done

PATIENCE_SECONDS = 120


@pytest.fixture(scope="module")
def study():
    """Two hundred designs, in four chunks."""
    return {
        "network": "resnet18",
        "fixed": {"input_shape": [1, 3, 32, 32]},
        "axes": {"engine.multipliers": list(range(100, 300)), "engine.lanes": [64]},
        "metrics": ["throughput.interval_cycles"],
    }


@pytest.fixture(scope="module")
def whole(study, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    acs.sweep(study, workers=1, folder=folder)
    return (folder / "table.parquet").read_bytes()


def until(condition):
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_sweep_killed_outright_goes_on(study, whole, tmp_path):
    path, folder = tmp_path / "study.yaml", tmp_path / "out"
    path.write_text(json.dumps(study), encoding="utf-8")
    command = [sys.executable, "-m", "accelsim", "sweep", str(path), "-o", str(folder), "--workers", "1"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(lambda: len(list(folder.rglob("*.parquet"))) >= 2 or process.poll() is not None)
        process.kill()
    kept = {part.name: part.read_bytes() for part in (folder / "parts").rglob("*.parquet")}
    assert 2 <= len(kept) <= 4
    before = []
    acs.sweep(path, workers=1, folder=folder, progress=lambda *told: before.append(told[3]))
    assert before[0] >= 2 * POINTS["row"]
    assert {name: (folder / "parts/row" / name).read_bytes() for name in kept} == kept
    assert (folder / "table.parquet").read_bytes() == whole


def test_a_lost_worker_costs_its_chunk_another_try(study, whole, tmp_path):
    killed = []

    def kill_one(speed, done, points, before):
        if not killed:
            killed.extend(worker.pid for worker in active_children()[:1])
            os.kill(killed[0], signal.SIGKILL)

    acs.sweep(study, workers=2, folder=tmp_path, progress=lambda *told: told[1] > 0 and kill_one(*told))
    assert killed
    assert (tmp_path / "table.parquet").read_bytes() == whole


def test_workers_end_with_the_process_that_started_them(study, tmp_path):
    """Killed outright, it cannot end them itself."""
    path, folder = tmp_path / "study.yaml", tmp_path / "out"
    path.write_text(json.dumps({**study, "axes": {"engine.multipliers": list(range(100, 10_100))}}), encoding="utf-8")
    command = [sys.executable, "-m", "accelsim", "sweep", str(path), "-o", str(folder), "--workers", "2"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as process:
        until(lambda: len(list(folder.rglob("*.parquet"))) >= 1 or process.poll() is not None)
        workers = children(process.pid)
        process.kill()
    assert len(workers) == 2
    until(lambda: not any(Path(f"/proc/{worker}").exists() for worker in workers))


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=True)
    return [int(child) for child in found.stdout.split()]


def test_points_that_always_lose_their_worker_are_told(study, monkeypatch, tmp_path):
    monkeypatch.setattr("accelsim.sweeps.runners.done", dies)
    monkeypatch.setattr("accelsim.sweeps.runners.MOST_TRIES", 2)
    table = acs.sweep(study, workers=2, folder=tmp_path)
    assert table["error"].str.starts_with("WorkerLost").all()
    assert table.height == 200


def dies(plan, chunk):
    os.kill(os.getpid(), signal.SIGKILL)


@contextmanager
def cluster(workers):
    """A Dask scheduler with as many workers, each a process of its own."""
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, processes=True, dashboard_address=None) as started:
        yield started


@pytest.mark.filterwarnings("ignore")  # what Dask's own threads leave open when they end
def test_a_cluster_writes_the_same_bytes_and_survives_a_worker(study, whole, tmp_path):
    with cluster(3) as started:
        acs.sweep(study, cluster=started.scheduler_address, folder=tmp_path / "whole")
        assert (tmp_path / "whole/table.parquet").read_bytes() == whole
        pids = [worker.pid for worker in started.workers.values()]

        def kill_one(speed, done, points, before):
            if done > 0 and pids:
                os.kill(pids.pop(), signal.SIGKILL)
                pids.clear()

        acs.sweep(study, cluster=started.scheduler_address, folder=tmp_path / "killed", progress=kill_one)
        assert (tmp_path / "killed/table.parquet").read_bytes() == whole


def test_a_cluster_that_is_not_there_is_told(study, monkeypatch):
    monkeypatch.setattr("accelsim.sweeps.runners.ANSWER_SECONDS", 1)
    with pytest.raises(acs.InputError, match="no scheduler answers"):
        acs.sweep(study, cluster="tcp://127.0.0.1:9")


def test_a_cluster_has_workers_of_its_own(study):
    with pytest.raises(acs.InputError, match="give one of the two"):
        acs.sweep(study, workers=2, cluster="tcp://127.0.0.1:9")


def told_by(script, tmp_path):
    """What a script without `if __name__ == "__main__"` prints; one that hangs fails."""
    path = tmp_path / "script.py"
    path.write_text(script, encoding="utf-8")
    root = Path(__file__).parents[2]
    found = subprocess.run(
        [sys.executable, str(path)],
        env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    return found.stdout + found.stderr[-2000:]


def test_threads_that_compile_do_not_hang_workers(study, tmp_path):
    """A copy of a process in which another thread compiles would wait for that thread for ever."""
    script = f"""
import threading, time
from numba.core.compiler_lock import global_compiler_lock
import accelsim as acs

held, begun = threading.Event(), threading.Event()

def compile():
    with global_compiler_lock:
        held.set()
        begun.wait(20)
        time.sleep(1)

threading.Thread(target=compile).start()
held.wait()
table = acs.sweep({study!r}, workers=2, progress=lambda *told: begun.set())
print(table.height, table["error"].null_count())
"""
    assert told_by(script, tmp_path) == "200 200\n"


def test_an_interrupt_while_workers_start_is_not_lost(study, tmp_path):
    script = f"""
import os, signal
import accelsim as acs

os.register_at_fork(after_in_parent=lambda: os.kill(os.getpid(), signal.SIGINT))
try:
    acs.sweep({study!r}, workers=2)
except KeyboardInterrupt:
    print("interrupted")
"""
    assert told_by(script, tmp_path) == "interrupted\n"


def test_a_sweep_ends_no_workers_but_its_own(study, monkeypatch, tmp_path):
    monkeypatch.setattr("accelsim.sweeps.runners.done", dies)
    others = []

    def waits_beside_another(*args, **kwargs):
        if not others:
            others.append(Process(target=time.sleep, args=(PATIENCE_SECONDS,)))
            others[0].start()
        return wait(*args, **kwargs)

    monkeypatch.setattr("accelsim.sweeps.runners.wait", waits_beside_another)
    small = {**study, "axes": {"engine.multipliers": [100, 200]}}
    table = acs.sweep(small, workers=2, folder=tmp_path)
    assert table["error"].str.starts_with("WorkerLost").all()
    assert others[0].is_alive()
    others[0].kill()
    others[0].join()


def test_a_chunk_is_not_lost_by_the_fault_of_another(study, whole, monkeypatch, tmp_path):
    monkeypatch.setattr("accelsim.sweeps.runners.done", dies_at_the_first)
    table = acs.sweep(study, workers=2, folder=tmp_path)
    assert table["error"].str.starts_with("WorkerLost").sum() == POINTS["row"]
    assert table["error"].null_count() == 200 - POINTS["row"]


def dies_at_the_first(plan, chunk):
    if chunk.number == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)
    return done(plan, chunk)


def test_no_more_workers_than_chunks_are_started(study, tmp_path):
    seen = []
    acs.sweep(study, workers=1000, folder=tmp_path, progress=lambda *told: seen.append(len(active_children())))
    assert 1 <= max(seen) <= 4
