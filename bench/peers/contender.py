"""An engine with a precision that takes part in a run: its process, and what it is asked."""
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent


class Failed(Exception):
    pass


@dataclass(frozen=True)
class Contender:
    engine: str
    precision: str
    command: tuple
    threads: int

    def __str__(self):
        return f"{self.engine}-{self.precision}"

    def start(self):
        names = ("OMP_NUM_THREADS", "RAYON_NUM_THREADS", "CANDLE_NUM_THREADS")
        return Process(self.command, os.environ | dict.fromkeys(names, str(self.threads)))


class Process:
    def __init__(self, command, environment):
        self.log = tempfile.TemporaryFile("w+")
        self.child = subprocess.Popen(
            command, cwd=HERE, env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log
        )

    def ask(self, work, precision):
        """The answer, with `ms`. A process that can't give one is of no more use."""
        try:
            print(json.dumps({"work": work, "precision": precision}), file=self.child.stdin, flush=True)
        except BrokenPipeError:
            pass  # then there is no answer either
        line = self.child.stdout.readline()
        if not line:
            self.log.seek(0)
            last = self.log.read().strip().rpartition("\n")[2]
            raise Failed(f"ended with {self.child.wait()}: {last}")
        answer = json.loads(line)
        if "error" in answer:
            raise Failed(answer["error"])
        return answer

    def cpu_seconds(self):
        after_name = Path(f"/proc/{self.child.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(after_name[11]) + int(after_name[12])) / os.sysconf("SC_CLK_TCK")

    def peak_mb(self):
        if self.child.poll() is not None:
            return 0.0
        status = Path(f"/proc/{self.child.pid}/status").read_text().splitlines()
        return int(next(line for line in status if line.startswith("VmHWM")).split()[1]) / 1000

    def stop(self):
        self.child.kill()
        self.child.wait()
        for pipe in (self.child.stdin, self.child.stdout, self.log):
            try:
                pipe.close()
            except BrokenPipeError:
                pass


def peer(engine, precision, threads, folder):
    return Contender(engine, precision, (sys.executable, "worker.py", engine, str(threads), str(folder)), threads)


def upweave(binary, precision, threads):
    return Contender("upweave", precision, (str(binary), "bench", "--serve"), threads)
