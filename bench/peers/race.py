"""All contenders at one work, in turn, round after round."""
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from contender import Failed

PAUSE = 0.3  # seconds, until the threads of the one before sleep


@dataclass
class Result:
    times: list = field(default_factory=list)  # ms, one per round
    others: list = field(default_factory=list)  # cores that the rest of the machine was using meanwhile
    peak_mb: float = 0.0
    error: str = ""

    @property
    def best(self):
        return min(self.times)

    @property
    def others_at_best(self):
        return self.others[self.times.index(self.best)]

    @property
    def median(self):
        return median(self.times)


class Track:
    """The processes of one work. They stay from round to round unless memory runs short."""

    def __init__(self, work, results):
        self.work, self.results, self.alive = work, results, {}

    def ready(self, contender):
        """The warm process of a contender, which is now the last to be stopped."""
        process = self.alive.pop(contender, None)
        if process is None:
            while self.alive and available_gb() < self.work.memory + 1:
                self.stop(next(iter(self.alive)))
            process = contender.start()
            self.alive[contender] = process
            process.ask(self.work.name, contender.precision)
        self.alive[contender] = process
        return process

    def stop(self, contender):
        process, result = self.alive.pop(contender), self.results[contender]
        result.peak_mb = max(result.peak_mb, process.peak_mb())
        process.stop()


def race(work, contenders, rounds, results):
    """Fills `results`: contender -> Result. A contender that fails is out of the race, and its result says why."""
    results |= {c: Result() for c in contenders}
    track = Track(work, results)
    try:
        for turn in range(rounds + 1):  # in the first nothing counts: networks are loaded, caches filled
            for c in [c for c in contenders if not results[c].error]:
                print(f"\r{work.name}: round {turn} of {rounds}, {c}\033[K", end="", file=sys.stderr, flush=True)
                try:
                    process = track.ready(c)
                    if turn > 0:
                        time.sleep(PAUSE)
                        measure(process, work, c.precision, results[c])
                except Failed as e:
                    results[c].error = str(e)
                    track.stop(c)
    finally:
        print("\r\033[K", end="", file=sys.stderr, flush=True)
        for c in list(track.alive):
            track.stop(c)


def measure(process, work, precision, result):
    busy, own, start = machine_seconds(), process.cpu_seconds(), time.perf_counter()
    ms = process.ask(work.name, precision)["ms"]
    others = (machine_seconds() - busy) - (process.cpu_seconds() - own)
    result.times.append(ms)
    result.others.append(max(others / (time.perf_counter() - start), 0))


def machine_seconds():
    """What all processes together have computed, and what was stolen from the machine."""
    user, nice, system, _idle, _wait, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split()[1:9])
    return (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")


def available_gb():
    lines = Path("/proc/meminfo").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("MemAvailable")).split()[1]) / 1e6
