"""Work on many sources in processes of their own: in order, light, and ended with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from sample_pictures import many

from artgen.dataset import Dataset
from artgen.errors import ArtgenError
from artgen.media import workers
from artgen.media.archives import Reader, Source
from artgen.media.prepare_image import Prepare, prepare
from artgen.media.workers import in_order

SMALL = Prepare(resolution=8)


def test_a_script_without_a_main_guard_may_prepare_with_workers(tmp_path: Path) -> None:
    many(tmp_path / "p", 80)
    script = tmp_path / "script.py"
    script.write_text(
        "from artgen.media import workers\n"
        "from artgen.media.prepare_image import Prepare, prepare\n"
        "workers.ALONE = 0\n"
        f"print(len(prepare([{str(tmp_path / 'p')!r}], {str(tmp_path / 'out')!r}, Prepare(resolution=8, workers=2))))\n"
        "import sys\nassert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("80\n", "")


# --- workers by themselves


def sizes(sources: list[Source], options: str, reader: Reader) -> list[str]:
    return [f"{source.name}{options}" for source in sources]


def suicide(sources: list[Source], options: str, reader: Reader) -> list[str]:
    os.kill(os.getpid(), signal.SIGKILL)
    return []


def environment(sources: list[Source], options: str, reader: Reader) -> list[str]:
    return [os.environ.get("OPENBLAS_NUM_THREADS", ""), "torch" if "torch" in sys.modules else "", str(os.getpid())]


def test_results_come_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    sources = [Source(str(number), "") for number in range(40)]
    for count in (1, 2):
        stream = in_order(sizes, sources, "!", chunk=3, workers=count)
        results = [list(part) for part in stream]
        assert [name for part in results for name in part] == [f"{number}!" for number in range(40)]
        assert [len(part) for part in results] == [3] * 13 + [1]


def test_workers_are_other_light_processes_that_use_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    monkeypatch.delenv("OPENBLAS_NUM_THREADS", raising=False)
    [threads, torch, pid] = next(iter(in_order(environment, [Source("a", "")] * 2, "", chunk=1, workers=2)))
    assert (threads, torch) == ("1", "")
    assert int(pid) != os.getpid()
    assert "OPENBLAS_NUM_THREADS" not in os.environ
    assert sys.modules["__main__"].__name__ == "__main__"
    assert hasattr(sys.modules["__main__"], "__file__")


def test_short_work_starts_no_processes() -> None:
    [result] = in_order(environment, [Source("a", "")] * 2, "", chunk=2, workers=2)
    assert int(result[2]) == os.getpid()


def test_a_killed_worker_gets_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "ALONE", 0)
    with pytest.raises(ArtgenError, match="a decoding process was killed, most likely because memory ran out; the same command"):
        list(in_order(suicide, [Source("a", "")] * 2, "", chunk=1, workers=2))


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks for processes in /proc")
def test_workers_end_when_their_parent_is_killed(tmp_path: Path) -> None:
    many(tmp_path / "p", 200)
    marker = f"{tmp_path.name}-{os.getpid()}"
    script = (
        "import os, signal\n"
        "from artgen.backend import Silent\n"
        "from artgen.media import workers\n"
        "from artgen.media.prepare_image import Prepare, prepare\n"
        "workers.ALONE = 0\n"
        "class Kill(Silent):\n"
        "    def advance(self, amount=1.0, note=''):\n"
        "        os.kill(os.getpid(), signal.SIGKILL)\n"
        f"prepare([{str(tmp_path / 'p')!r}], {str(tmp_path / 'out')!r}, Prepare(resolution=8, workers=2), Kill())\n"
    )
    done = subprocess.run([sys.executable, "-c", script], env={**os.environ, "ARTGEN_TEST": marker}, check=False)
    assert done.returncode == -signal.SIGKILL

    def left() -> list[Path]:
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if marker.encode() in (place / "environ").read_bytes():
                    found.append(place)
            except OSError:  # gone meanwhile, or of another user
                continue
        return found

    deadline = time.monotonic() + 30
    while left() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left() == []
    dataset = prepare([tmp_path / "p"], tmp_path / "out", SMALL)
    assert isinstance(dataset, Dataset)
    assert len(dataset) == 200
