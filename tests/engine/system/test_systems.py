"""What differs between systems, by simulated rules: docs/systems.md lists it. Rules of files are in test_safe_files.py;
a machine without llvmlite is in test_winograd.py."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest
import torch
from pictures import clouds

import nst_engine as nst
from nst_engine.cli import commands as cli
from nst_engine.pictures.files import read_settings, write_picture
from nst_engine.system import limits
from nst_engine.system.devices import best_device, free_memory

ROOT = Path(__file__).resolve().parents[3]
QUICK = ("--steps", "1", "--size", "32", "--style-layers", "relu1_1", "--content-layers", "relu2_1")

posix = pytest.mark.skipif(os.name != "posix", reason="signals and closed files as POSIX has them")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_picture(tmp_path / "content.png", clouds(1, 32, 40))
    write_picture(tmp_path / "style.png", clouds(2, 32, 32))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def python(code, *arguments, before=None, **environment):
    return subprocess.Popen(
        [sys.executable, *(("-c", code) if code else ("-m", "nst_engine")), *map(str, arguments)],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=before,
    )


def nst_command(*arguments, **more):
    process = python("", *arguments, **more)
    out, said = process.communicate(timeout=120)
    return process.returncode, out, said.decode(errors="replace")


# --- Ctrl-C -------------------------------------------------------------------------------------------------------


def test_the_command_line_runs_in_any_thread(folder):
    answers = []
    arguments = ["stylize", "content.png", "style.png", "-o", "out.png", "--quiet", *QUICK]
    thread = threading.Thread(target=lambda: answers.append(cli.main(arguments)))
    thread.start()
    thread.join()
    assert answers == [cli.DONE]


@posix
def test_ctrl_break_of_windows_keeps_the_picture_too(folder):
    code = "import signal; signal.SIGBREAK = signal.SIGUSR1\nfrom nst_engine.cli import main; raise SystemExit(main())"
    arguments = ("stylize", "content.png", "style.png", "-o", "out.png", "--steps", "100000", *QUICK[2:])
    process = python(code, *arguments)
    while b"stylise: 1 of" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGUSR1)
    out, said = process.communicate(timeout=60)
    assert process.returncode == 130 and out == b"out.png\n"
    assert b"the picture so far will be kept" in said
    assert read_settings("out.png")["stopped_early"] is True


def no_stderr():
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a runner in the background may ignore it
    os.close(2)


@posix
def test_without_anywhere_to_complain_to(folder):
    """As under pythonw. What would be said must not get into a file that has stderr's number."""
    arguments = ("stylize", "content.png", "style.png", "-o", "out.png", *QUICK)
    assert nst_command(*arguments, before=no_stderr) == (0, b"out.png\n", "")
    assert nst_command("stylize", "none.png", *arguments[2:], before=no_stderr) == (1, b"", "")
    assert nst_command(*arguments, before=lambda: (os.close(1), os.close(2))) == (0, b"", "")
    saves = ("--style-size", "32", "--save-style", "style.safetensors")
    process = python("", *arguments[:5], *saves, "--steps", "100000", *QUICK[2:], before=no_stderr)
    while not Path("style.safetensors").exists():
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(3)  # the first steps
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130 and out == b"out.png\n"
    assert read_settings("out.png")["stopped_early"] is True


# --- consoles -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_a_console_that_lacks_letters(folder, encoding):
    for name in ("content.png", "style.png"):
        Path(name).rename(f"星-{name}")
    arguments = ("星-content.png", "星-style.png", "-o", "星.png", *QUICK)
    code, out, said = nst_command("stylize", *arguments, PYTHONIOENCODING=encoding)
    assert code == 0 and "Traceback" not in said
    assert os.fsdecode(out.strip()) == "星.png" and Path("星.png").exists()
    code, out, said = nst_command("stylize", "月.png", *arguments[1:], PYTHONIOENCODING=encoding)
    assert code == 1 and "no such file" in said and "Traceback" not in said
    for command in (("stylize", "--help"), ("recipes",)):
        code, out, said = nst_command(*command, PYTHONIOENCODING=encoding)
        assert code == 0 and out and said == ""


# --- processes ----------------------------------------------------------------------------------------------------


def test_nothing_needs_a_fork():
    """Windows and macOS start processes anew. There, what only a script's main part may do would be done again."""
    for folder in ("nst_engine", "nodes"):
        for file in (ROOT / folder).rglob("*.py"):
            code = file.read_text(encoding="utf-8")
            assert not re.search(r"\b(fork|preexec_fn|ProcessPoolExecutor)\b", code), file
            assert not re.search(r"multiprocessing\.(Process|Pool|Queue|Pipe|Manager)\b", code), file
            assert set(re.findall(r"get_context\((.*?)\)", code)) <= {'"spawn"'}, file


def test_a_process_started_anew(folder):
    """An engine in use by a process, and another in one that it spawns: the program of a user."""
    Path("program.py").write_text(
        "import multiprocessing, torch, nst_engine as nst\n"
        "def work(seed):\n"
        "    vgg = nst.load_vgg('vgg19-caffe', device='cpu')\n"
        "    x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(seed))\n"
        "    return nst.stylize(vgg, x, nst.compute_style_grams(vgg, x), steps=1).image.shape[-1]\n"
        "if __name__ == '__main__':\n"
        "    with multiprocessing.get_context('spawn').Pool(1) as pool:\n"
        "        print(work(0), pool.map(work, [1]))\n",
        encoding="utf-8",
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "program.py"], capture_output=True, text=True, env=environment, timeout=120)
    assert done.stdout == "32 [32]\n", done.stderr


# --- devices and their memory -------------------------------------------------------------------------------------


def test_memory_where_there_are_no_limits_to_ask_for():
    """The module `resource` is POSIX's."""
    code = (
        "import psutil, sys; sys.modules['resource'] = None\n"
        "import torch; from nst_engine.system.devices import free_memory\n"
        "print(free_memory(torch.device('cpu')) > 0)"
    )
    out, said = python(code).communicate(timeout=60)
    assert out == b"True\n", said


@pytest.mark.parametrize(
    ("listed", "folder", "most", "used"),
    [
        ("0::/system.slice/job.scope", "system.slice/job.scope", "memory.max", "memory.current"),
        ("0::/job.slice/step.scope", "job.slice", "memory.max", "memory.current"),  # of the group that it is part of
        ("4:cpu,cpuacct:/\n9:memory:/slurm/7", "memory/slurm/7", "memory.limit_in_bytes", "memory.usage_in_bytes"),
        ("0::/nowhere/../else", "", "memory.max", "memory.current"),  # a container that shows only itself
    ],
)
def test_a_batch_systems_limits_count(tmp_path, monkeypatch, listed, folder, most, used):
    group = tmp_path / "cgroup" / folder
    group.mkdir(parents=True)
    (group / most).write_text(f"{3 << 20}\n")
    (group / used).write_text(f"{2 << 20}\n")
    (group / "memory.stat").write_text("anon 5\ninactive_file 1000\nactive_file 24\n")
    (tmp_path / "own").write_text(listed + "\n")
    monkeypatch.setattr(limits, "GROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(limits, "OWN_GROUPS", tmp_path / "own")
    monkeypatch.setattr(sys, "platform", "linux")
    assert free_memory(torch.device("cpu")) == (1 << 20) + 1024


def test_a_macs_gpu_is_chosen_where_there_is_no_other(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert best_device() == torch.device("mps")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert best_device() == torch.device("cpu")
    with pytest.raises(nst.NSTError, match=r"'mps' cannot be used .*try auto, or cpu"):
        nst.load_vgg(device="mps")


def test_a_macs_gpu_shares_the_memory_of_all_programs(monkeypatch):
    available = psutil.virtual_memory().available
    monkeypatch.setattr(torch.mps, "driver_allocated_memory", lambda: 2**20)
    # What torch 2.4 does not tell.
    monkeypatch.delattr(torch.mps, "recommended_max_memory", raising=False)
    assert free_memory(torch.device("mps")) == pytest.approx(available, rel=0.2)
    for most, left in ((2**40, available), (2**29, 2**29 - 2**20)):
        monkeypatch.setattr(torch.mps, "recommended_max_memory", lambda most=most: most, raising=False)
        assert free_memory(torch.device("mps")) == pytest.approx(left, rel=0.2)


def test_memory_of_intels_gpus_before_torch_tells_it(monkeypatch):
    class Properties:
        total_memory = 2**33

    monkeypatch.setattr(torch.xpu, "get_device_properties", lambda device: Properties)
    for name in ("mem_get_info", "memory_reserved", "memory_allocated"):
        monkeypatch.delattr(torch.xpu, name, raising=False)
    assert free_memory(torch.device("xpu")) == 2**33
