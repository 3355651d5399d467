"""Packs on the workers of a Dask cluster, through joblib: here, or on many machines that share the output folder."""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from joblib import Parallel, delayed, parallel_config

from benchmark.errors import UsageError

CONNECT_SECONDS = 20


def map_on_cluster(
    function: Callable[..., Any], calls: Iterable[Sequence[Any]], scheduler: str | None, workers: int
) -> Iterator[Any]:
    """Results of the calls as they come; calls of a worker that dies are done by another.

    Args:
        scheduler: a Dask scheduler's address; None starts a cluster on this machine.
        workers: how many workers such a cluster has.

    Raises:
        UsageError: Dask is not installed, or no scheduler answers.
    """
    with _client(scheduler, workers) as client, parallel_config("dask", client=client):
        parallel = Parallel(return_as="generator_unordered", batch_size=1)
        yield from parallel(delayed(function)(*call) for call in calls)


@contextmanager
def _client(scheduler: str | None, workers: int) -> Iterator[Any]:
    try:
        from distributed import Client, LocalCluster
    except ImportError as error:
        raise UsageError('the dask backend needs Dask; install it with pip install ".[distributed]".') from error
    if scheduler is None:
        quiet = {"dashboard_address": None, "silence_logs": logging.CRITICAL}
        with LocalCluster(n_workers=workers, threads_per_worker=1, **quiet) as cluster, Client(cluster) as client:
            yield client
        return
    try:
        client = Client(scheduler, timeout=CONNECT_SECONDS)
    except (OSError, ValueError, TypeError) as error:
        raise UsageError(f"no Dask scheduler answers at {scheduler!r}; write tcp://HOST:PORT.") from error
    with client:
        yield client
