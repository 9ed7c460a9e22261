"""The shards of a plan on a Ray cluster: one model per actor, lost shards computed again.

Ray schedules; nothing here does. :func:`deeplight.plan.run_shard` computes a shard as anywhere
else, so that the result has the bytes of one machine. A shard whose worker or node is lost goes to
another and continues from the tiles that are on disk. Every machine must see the rasters, the
outputs' folders and the weights under the same paths.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from .plan import Plan, merge, run_shard
from .predictor import Prediction, progress_of

__all__ = ["run_on_ray"]

#: Seconds before a shard is tried again: a dying process may hold it still.
PAUSE = 1.0


def run_on_ray(
    plan: Plan,
    *,
    shards: int = 0,
    actors: int = 0,
    cpus: float = 1,
    gpus: float = 0,
    retries: int = 3,
    address: str | None = None,
    progress: bool | Callable[[int, int], bool | None] = True,
) -> Prediction:
    """Computes every shard of a plan on a Ray cluster and merges them.

    Args:
        plan: see :func:`deeplight.plan.make_plan`.
        shards: into how many the plan is cut; by default four for each actor.
        actors: processes with a model each; by default as many as the cluster has room for.
        cpus: of an actor; also the threads of its operators.
        gpus: of an actor; with one or more it computes on ``cuda:0`` of those it is given.
        retries: of each shard, after a lost worker or node, or an error of the file system.
        address: of the cluster; by default the one that ``ray.init()`` finds, or a new one here.
        progress: as in ``predict``; counts shards.

    Returns:
        The report of :func:`deeplight.plan.merge`.

    Raises:
        ImportError: Ray is not installed.
        ValueError: inputs or weights are not those planned; the cluster has no room for one actor.
        OSError, RuntimeError: a shard failed more often than `retries` allows.
        KeyboardInterrupt: ``progress`` returned False; finished tiles stay.
    """
    ray = _ray()
    if shards < 0 or actors < 0 or retries < 0 or cpus <= 0 or gpus < 0:
        raise ValueError(
            "shards, actors, retries and gpus must not be negative, cpus must be above 0"
        )
    if not ray.is_initialized():
        ray.init(address=address, log_to_driver=False, include_dashboard=False)
    actors = actors or _room(ray, cpus, gpus)
    shards = shards or 4 * actors
    actors = min(actors, shards)
    worker = ray.remote(num_cpus=cpus, num_gpus=gpus)(_Worker)
    with progress_of(progress) as report:
        _run_all(ray, lambda: worker.remote(plan, cpus, gpus), actors, shards, retries, report)
    return merge(plan)


class _Worker:
    """Holds the model; runs in a process of the cluster."""

    def __init__(self, plan: Plan, cpus: float, gpus: float):
        self.plan = plan
        self.predictor = plan.load_weights()
        self.threads = max(1, int(cpus))
        self.devices = ["cuda:0"] if gpus > 0 else []

    def ready(self) -> bool:
        """True, once the model is loaded."""
        return True

    def run(self, index: int, count: int) -> int:
        """Computes one shard; the number of its tiles."""
        prediction = run_shard(
            self.plan,
            index,
            count,
            predictor=self.predictor,
            threads=self.threads,
            devices=self.devices,
            progress=False,
        )
        return sum(raster.tiles for raster in prediction.rasters)


def _run_all(
    ray: Any,
    make: Callable[[], Any],
    actors: int,
    shards: int,
    retries: int,
    report: Callable[[int, int], bool | None] | None,
) -> None:
    waiting = deque(range(shards))
    attempts = [0] * shards
    # An actor gets work once it is there: after the loss of a node the cluster may have no room for
    # another, and a shard that were given to it would wait for ever while others are idle.
    starting: dict[Any, Any] = {}
    idle: list[Any] = []
    running: dict[Any, tuple[int, Any]] = {}
    done = not_started = 0

    def start() -> None:
        actor = make()
        starting[actor.ready.remote()] = actor

    try:
        for _ in range(actors):
            start()
        _tell(report, done, shards)
        while waiting or running:
            while idle and waiting:
                index, actor = waiting.popleft(), idle.pop()
                attempts[index] += 1
                running[actor.run.remote(index, shards)] = (index, actor)
            finished, _ = ray.wait([*running, *starting], num_returns=1, timeout=1.0)
            for reference in finished:
                if reference in starting:
                    actor = starting.pop(reference)
                    try:
                        ray.get(reference)
                    except ray.exceptions.RayError as error:
                        not_started += 1
                        if not_started > retries:
                            raise _not_started(not_started, error) from error
                        start()
                        time.sleep(PAUSE)
                        continue
                    idle.append(actor)
                    continue
                index, actor = running.pop(reference)
                try:
                    ray.get(reference)
                except (ray.exceptions.RayError, OSError) as error:
                    cause = getattr(error, "cause", None)
                    lost = not isinstance(error, ray.exceptions.RayTaskError)
                    if not (lost or isinstance(cause, OSError)):
                        raise cause or error from None
                    if attempts[index] > retries:
                        raise (cause or _failure(index, shards, attempts[index], error)) from error
                    waiting.append(index)
                    if lost:
                        start()
                    else:
                        idle.append(actor)
                    time.sleep(PAUSE)
                    continue
                idle.append(actor)
                done += 1
            _tell(report, done, shards)
    finally:
        for actor in [*idle, *starting.values(), *(actor for _, actor in running.values())]:
            ray.kill(actor)


def _not_started(times: int, error: Exception) -> RuntimeError:
    return RuntimeError(f"actors could not be started {times} times; the last time: {error}")


def _failure(index: int, shards: int, attempts: int, error: Exception) -> RuntimeError:
    return RuntimeError(f"shard {index}/{shards} was lost {attempts} times; the last time: {error}")


def _tell(report: Callable[[int, int], bool | None] | None, done: int, total: int) -> None:
    if report is not None and report(done, total) is False:
        raise KeyboardInterrupt(f"cancelled after {done} of {total} shards")


def _room(ray: Any, cpus: float, gpus: float) -> int:
    """How many actors the cluster can hold at once."""
    total = ray.cluster_resources()
    room = int(total.get("CPU", 0) // cpus)
    if gpus > 0:
        room = min(room, int(total.get("GPU", 0) // gpus))
    if room < 1:
        raise ValueError(
            f"the cluster has {total.get('CPU', 0):g} CPUs and {total.get('GPU', 0):g} GPUs; an "
            f"actor needs {cpus:g} and {gpus:g}"
        )
    return room


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ModuleNotFoundError as error:
        raise ImportError("running on a cluster needs Ray: pip install 'deeplight[ray]'") from error
    return ray
