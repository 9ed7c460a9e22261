"""Shards on a local Ray cluster of two nodes, one of which is killed in the middle."""

import hashlib
import os
import signal
from pathlib import Path

import pytest

import deeplight
from deeplight import cluster
from deeplight.plan import make_plan
from test_predictor import SCALE, guides_of, read, save_weights, write

pytestmark = pytest.mark.skipif(not deeplight._native.has_raster, reason="built without GDAL")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


class FakeRay:
    """Ray's four calls over functions of this process; a script says which shards are lost.

    Actors of the numbers in `no_room` never come up; `broken` of them fail as they start.
    """

    class exceptions:  # noqa: N801
        class RayError(Exception):
            pass

        class RayTaskError(RayError):
            def __init__(self, cause):
                super().__init__(str(cause))
                self.cause = cause

    def __init__(self, failures, no_room=(), broken=0):
        self.failures, self.made, self.killed, self.log = dict(failures), 0, [], []
        self.no_room, self.broken = no_room, broken

    def make(self):
        self.made += 1
        ray, number = self, self.made

        class Run:
            def remote(self, index, count):
                ray.log.append((number, index))
                return (number, index, len(ray.log))

        class Ready:
            def remote(self):
                return (number, None, 0)

        class Actor:
            run = Run()
            ready = Ready()

        return Actor()

    def wait(self, references, num_returns, timeout):
        there = [reference for reference in references if reference[0] not in self.no_room][:1]
        assert there, "waits for ever"
        return there, [reference for reference in references if reference not in there]

    def get(self, reference):
        if reference[1] is None and self.broken > 0:
            self.broken -= 1
            raise self.exceptions.RayError("no weights")
        failures = self.failures.get(reference[1], [])
        if failures:
            raise failures.pop(0)
        return 1

    def kill(self, actor):
        self.killed.append(actor)


def run_all(ray, shards=6, actors=2, retries=2, report=None):
    cluster._run_all(ray, ray.make, actors, shards, retries, report)


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    monkeypatch.setattr(cluster, "PAUSE", 0)


def test_lost_shards_run_again_on_new_actors():
    lost, refused = FakeRay.exceptions.RayError, FakeRay.exceptions.RayTaskError
    ray = FakeRay({1: [lost("node died"), lost("again")], 4: [refused(OSError("held"))]})
    told = []
    run_all(ray, report=lambda done, total: told.append((done, total)))
    indices = [index for _, index in ray.log]
    assert sorted(indices) == [0, 1, 1, 1, 2, 3, 4, 4, 5]
    assert ray.made == 2 + 2  # a lost actor is replaced, one that reports an error is kept
    assert len(ray.killed) == 2
    assert told[0] == (0, 6) and told[-1] == (6, 6)


def test_a_cluster_that_lost_a_node_for_good_goes_on_with_the_rest():
    """Ray waits for room without end: no shard may wait with it."""
    lost = FakeRay.exceptions.RayError
    ray = FakeRay({1: [lost("node died")], 3: [lost("worker died")]}, no_room={3})
    run_all(ray)
    assert sorted({index for _, index in ray.log}) == [*range(6)]
    assert {number for number, _ in ray.log} == {1, 2, 4}
    assert len(ray.killed) == 2  # also the one that never came up


def test_actors_that_fail_as_they_start():
    run_all(FakeRay({}, broken=2))
    with pytest.raises(RuntimeError, match="could not be started 3 times; the last time: no weig"):
        run_all(FakeRay({}, broken=3))


def test_errors_that_do_not_pass_are_raised():
    lost, refused = FakeRay.exceptions.RayError, FakeRay.exceptions.RayTaskError
    with pytest.raises(RuntimeError, match="shard 3/6 was lost 3 times; the last time: gone"):
        run_all(FakeRay({3: [lost("gone")] * 3}))
    with pytest.raises(OSError, match="disk full"):
        run_all(FakeRay({3: [refused(OSError("disk full")) for _ in range(3)]}))
    ray = FakeRay({3: [refused(ValueError("not the planned weights"))]})
    with pytest.raises(ValueError, match="not the planned weights"):
        run_all(ray)
    assert len(ray.killed) >= 1 and [index for _, index in ray.log].count(3) == 1
    with pytest.raises(KeyboardInterrupt):
        run_all(FakeRay({}), report=lambda done, total: done < 3)


# Actors are no less important than the tests beside them; a lost node is noticed in seconds.
RAY_SETTINGS = {
    "USAGE_STATS_ENABLED": "0",
    "worker_niceness": "0",
    "health_check_initial_delay_ms": "1000",
    "health_check_period_ms": "500",
}


def kill_node(nodes, node):
    """All of its processes at once, as when its power fails: workers would outlive their raylet."""
    raylet = node.all_processes["raylet"][0].process.pid
    workers = Path(f"/proc/{raylet}/task/{raylet}/children").read_text().split()
    assert workers
    for worker in workers:
        os.kill(int(worker), signal.SIGKILL)
    nodes.remove_node(node, allow_graceful=False)


def test_a_killed_node_changes_nothing(tmp_path, monkeypatch):
    for name, value in RAY_SETTINGS.items():
        monkeypatch.setenv(f"RAY_{name}", value)
    ray = pytest.importorskip("ray")
    import numpy as np
    from ray.cluster_utils import Cluster

    random = np.random.default_rng(5)
    rows, columns = 96, 64
    write(tmp_path / "ntl.tif", random.random((rows, columns)) * 100)
    for name, bands in {"dmo": 3, "dem": 1}.items():
        write(
            tmp_path / f"{name}.tif",
            random.random((bands, rows * SCALE, columns * SCALE)) * 100,
            1000 / SCALE,
        )
    weights = save_weights(tmp_path)
    options = {"tile": 8, "consistency": "additive"}
    alone = tmp_path / "alone.tif"
    deeplight.load(weights).predict(
        tmp_path / "ntl.tif", guides_of(tmp_path), alone, threads=1, progress=False, **options
    )
    small = {"num_cpus": 1, "include_dashboard": False, "object_store_memory": 100_000_000}
    nodes = Cluster(initialize_head=True, head_node_args=small)
    try:
        second = nodes.add_node(**small)
        ray.init(address=nodes.address, log_to_driver=False)
        nodes.wait_for_nodes()
        plan = make_plan(
            weights, tmp_path / "ntl.tif", guides_of(tmp_path), tmp_path / "sr.tif", **options
        )
        killed, run_all, made = [], cluster._run_all, []

        def count_actors(ray, make, *rest):
            run_all(ray, lambda: made.append(make()) or made[-1], *rest)

        def report(done, total):
            if done >= 2 and not killed:
                ray.get([actor.__ray_ready__.remote() for actor in made], timeout=120)
                killed.append(done)
                kill_node(nodes, second)

        monkeypatch.setattr(cluster, "_run_all", count_actors)

        cluster.run_on_ray(plan, shards=12, actors=2, retries=5, progress=report)
        assert len(killed) == 1 and killed[0] < 12
        assert len(made) > 2  # the lost one's shard went elsewhere
    finally:
        ray.shutdown()
        nodes.shutdown()
    assert digest(tmp_path / "sr.tif") == digest(alone)
    assert read(tmp_path / "sr.tif").shape == (1, rows * SCALE, columns * SCALE)
