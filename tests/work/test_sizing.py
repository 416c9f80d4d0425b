import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coterie.concurrency import start_thread
from coterie.concurrency.machine import GroupLimits, group_limits
from coterie.concurrency.switching import interpreter_is_free
from coterie.errors import InvalidSetting
from coterie.work import Bounds, Machine, Sizing
from coterie.work.pool.workers import homes
from coterie.work.sizing import WaitRatio

GIB = 2**30
CONTAINER = Machine(logical=16, physical=8, quota=2.0, memory=64 * GIB, memory_limit=4 * GIB)
SERVER = Machine(logical=256, physical=128, memory=512 * GIB)


def test_a_small_container_on_a_large_machine_is_sized_by_its_quota() -> None:
    sizing = Sizing(CONTAINER)
    assert (CONTAINER.usable, sizing.cpu_bound, sizing.mixed) == (2, 2, 4)
    assert (sizing.limits.max_threads, sizing.limits.max_pool_size, sizing.limits.max_processes) == (8, 16, 2)
    assert sizing.workers.processing == {"reasoning": 2, "planning": 2, "learning": 1, "optimisation": 2}
    assert sizing.workers.action == {"execution": 4, "feedback": 2, "recovery": 1}
    assert sizing.workers.memory == {"read": 4, "write": 1, "background": 2, "maintenance": 1}
    assert sizing.workers.environment == {"maintenance": 1, "monitor": 1}
    assert (sizing.processing, sizing.action, sizing.processes) == (Bounds(7, 8), Bounds(7, 8), Bounds(2, 2))


def test_a_server_is_sized_by_its_cores() -> None:
    sizing = Sizing(SERVER)
    assert (sizing.cpu_bound, sizing.mixed) == (128, 512)
    assert sizing.workers.processing["learning"] == 127
    assert (sizing.limits.max_threads, sizing.limits.max_pool_size) == (1024, 2048)
    assert sizing.workers.memory["read"] == 512


def test_one_core_gives_every_component_a_worker() -> None:
    sizing = Sizing(Machine(logical=1, physical=1, quota=0.5))
    workers = sizing.workers
    for component in (workers.memory, workers.processing, workers.action, workers.environment):
        assert min(component.values()) >= 1
    assert sizing.processes == Bounds(1, 1)


def test_affinity_and_memory_bind_too() -> None:
    assert Sizing(Machine(logical=64, physical=32, affinity=3)).cpu_bound == 3
    assert Sizing(Machine(logical=64, physical=32, memory=GIB, memory_limit=256 * 2**20)).limits.max_processes == 2


def test_io_bound_workers_follow_the_wait() -> None:
    sizing = Sizing(Machine(logical=4, physical=4))
    assert [sizing.io_bound(wait, 1.0) for wait in (0, 1, 2.5, 1000)] == [4, 8, 14, 32]
    for wait, processing in ((-1, 1), (1, 0), (float("inf"), 1)):
        with pytest.raises(InvalidSetting):
            sizing.io_bound(wait, processing)


def test_the_measured_ratio_corrects_the_estimate() -> None:
    ratio = WaitRatio(Sizing(Machine(logical=4, physical=4)), is_free=lambda: True)
    assert (ratio.wait_per_compute, ratio.workers(9)) == (None, 9)
    for _ in range(100):
        ratio.observe(4.0, 1.0)
    assert ratio.wait_per_compute == pytest.approx(3.0)
    assert ratio.workers(9) == 16
    for _ in range(200):
        ratio.observe(1.0, 1.0)
    assert ratio.workers(9) in (4, 5)


def test_waiting_for_the_interpreter_does_not_count_as_waiting() -> None:
    free = True
    ratio = WaitRatio(Sizing(Machine(logical=4, physical=4)), is_free=lambda: free)
    for _ in range(100):
        ratio.observe(4.0, 1.0)
    free = False
    for _ in range(100):
        ratio.observe(100.0, 1.0)
    # Neither more nor fewer threads: among those that compute, others may wait for input.
    assert ratio.workers(9) == 9
    assert (ratio.wait_per_compute or 0.0) < 0.1
    free = True
    for _ in range(100):
        ratio.observe(4.0, 1.0)
    assert ratio.workers(9) == 16


def test_the_interpreter_is_found_in_use_while_another_thread_computes() -> None:
    over = threading.Event()

    def compute() -> None:
        while not over.is_set():
            sum(range(1000))

    thread = start_thread(compute, "computes")
    try:
        assert sum(interpreter_is_free() for _ in range(20)) < 10
    finally:
        over.set()
        thread.join()


def test_this_machine_can_be_described() -> None:
    machine = Machine.detect()
    assert 1 <= machine.cores <= machine.logical
    assert Sizing.detect().machine == machine


@given(
    st.builds(
        Machine,
        logical=st.integers(1, 512),
        physical=st.integers(1, 512),
        affinity=st.none() | st.integers(1, 512),
        quota=st.none() | st.floats(0.01, 512),
        memory=st.none() | st.integers(1, 2**40),
        memory_limit=st.none() | st.integers(1, 2**40),
    )
)
def test_the_bounds_are_valid_for_every_machine(machine: Machine) -> None:
    sizing = Sizing(machine)
    for bounds in (sizing.processing, sizing.processes, sizing.action):
        assert 1 <= bounds.least <= bounds.most
    assert 1 <= sizing.cpu_bound <= machine.logical


@pytest.mark.parametrize("field", ["logical", "physical"])
def test_a_machine_without_cores_is_refused(field: str) -> None:
    with pytest.raises(InvalidSetting, match=field):
        Machine(**{"logical": 1, "physical": 1, field: 0})


def write(root: Path, **files: str) -> Path:
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


V2 = "30 23 0:26 / /sys/fs/cgroup rw shared:4 - cgroup2 cgroup2 rw\n"


def test_version_two_is_read_and_the_tightest_of_nested_groups_holds(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="0::/a/b\n", proc__self__mountinfo=V2)
    base = tmp_path / "sys/fs/cgroup"
    for folder, cores, memory in (("a", "150000 100000", "1000"), ("a/b", "max 100000", "2000")):
        (base / folder).mkdir(parents=True)
        (base / folder / "cpu.max").write_text(cores + "\n")
        (base / folder / "memory.max").write_text(memory + "\n")
    assert group_limits(tmp_path) == GroupLimits(1.5, 1000)


def test_version_one_is_read_also_where_a_container_sees_only_its_own_group(tmp_path: Path) -> None:
    mounts = (
        "31 23 0:27 /docker/x /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
        "32 23 0:28 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    write(tmp_path, proc__self__cgroup="4:memory:/docker/x\n3:cpu,cpuacct:/docker/x\n", proc__self__mountinfo=mounts)
    base = tmp_path / "sys/fs/cgroup"
    (base / "cpu,cpuacct").mkdir(parents=True)
    (base / "cpu,cpuacct/cpu.cfs_quota_us").write_text("250000\n")
    (base / "cpu,cpuacct/cpu.cfs_period_us").write_text("100000\n")
    (base / "memory").mkdir()
    (base / "memory/memory.limit_in_bytes").write_text("4096\n")
    assert group_limits(tmp_path) == GroupLimits(2.5, 4096)
    (base / "cpu,cpuacct/cpu.cfs_quota_us").write_text("-1\n")
    (base / "memory/memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert group_limits(tmp_path) == GroupLimits(None, None)


def test_an_unreadable_control_group_sets_no_limit(tmp_path: Path) -> None:
    assert group_limits(tmp_path) == GroupLimits(None, None)
    write(tmp_path, proc__self__cgroup="nonsense\n0::\n", proc__self__mountinfo="nonsense\n" + V2)
    assert group_limits(tmp_path) == GroupLimits(None, None)


@given(st.integers(0, 64), st.lists(st.integers(0, 1000), min_size=1, max_size=6))
def test_homes_are_one_for_each_worker_and_follow_the_load(workers: int, load: list[int]) -> None:
    chosen = homes(workers, load)
    assert len(chosen) == workers
    if workers >= len(load):
        assert set(chosen) == set(range(len(load)))
    if any(load) and workers > len(load):
        assert chosen.count(load.index(max(load))) >= max(chosen.count(lane) for lane in range(len(load))) - 1


@given(st.integers(1, 8), st.integers(0, 24), st.integers(0, 64), st.floats(0, 1), st.integers(0, 1000))
def test_growth_and_shrinkage_stay_within_bounds(least: int, more: int, workers: int, utilisation: float, queued: int) -> None:
    bounds = Bounds(least, least + more)
    wanted = bounds.wanted(min(workers, bounds.most), utilisation, queued)
    assert wanted <= bounds.most
    assert wanted >= min(workers, least)


def test_the_default_mounts_apply_if_the_mount_table_is_unreadable(tmp_path: Path) -> None:
    base = tmp_path / "sys/fs/cgroup"
    (base / "cpu").mkdir(parents=True)
    (base / "cpu.max").write_text("150000 100000\n")
    assert group_limits(tmp_path) == GroupLimits(1.5, None)
    (base / "cpu/cpu.cfs_quota_us").write_text("50000\n")
    (base / "cpu/cpu.cfs_period_us").write_text("100000\n")
    assert group_limits(tmp_path) == GroupLimits(0.5, None)
