"""The same judging on a Dask cluster: with the same results, also when its workers die."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
from classroom import EXERCISES, hand_in, own, solved

from course.grading import cluster, grade
from course.grading.cluster import Cluster
from course.grading.log import read_log

distributed = pytest.importorskip("distributed")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="answers are judged on Linux only")


@pytest.fixture
def client():
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as workers,
        distributed.Client(workers) as found,
    ):
        yield found


def test_a_cluster_judges_the_same_also_when_a_worker_dies(tmp_path, client):
    folder, out = tmp_path / "in", tmp_path / "out"
    for number in range(12):
        hand_in(folder, f"learner {number}.ipynb", solved(**own(number)))
    killed = []

    def kill() -> None:
        while not read_log(out / "results.jsonl"):
            time.sleep(0.05)
        for name, worker in client.cluster.workers.items():
            if name == 0:
                killed.append(worker.pid)
                os.kill(worker.process.process.pid, signal.SIGKILL)

    killer = threading.Thread(target=kill)
    killer.start()
    _, results = grade.grade(folder, out, client=client)
    killer.join()
    assert killed and len(results) == 12 * len(EXERCISES)
    assert {result.status for result in results} == {"passed"}


def test_a_cluster_with_another_version_of_the_course_is_refused(tmp_path, client, monkeypatch):
    hand_in(tmp_path / "in", "aiko.ipynb", solved())
    monkeypatch.setattr(cluster, "grader_version", lambda: "another")
    with pytest.raises(ValueError, match="another version of the course"):
        grade.grade(tmp_path / "in", tmp_path / "out", client=client)


def test_a_cluster_without_workers_is_refused():
    with (
        distributed.LocalCluster(n_workers=0, processes=True, dashboard_address=None) as workers,
        distributed.Client(workers) as client,
        pytest.raises(ValueError, match="has no workers"),
    ):
        Cluster(client, b"a secret of sixteen", "bubblewrap")
