"""One engine in a process of its own. A request is a line such as {"work": "clip-l-77", "precision": "f32"}; the answer is
the line {"ms": 38.2} or {"error": "..."}. `upweave bench --serve` speaks the same way."""
import importlib
import json
import os
import sys
import time
from pathlib import Path

from shapes import WORKS

WINDOW = 0.25  # seconds; a shorter work is repeated so long


def measure(run):
    runs, start = 0, time.perf_counter()
    while runs == 0 or time.perf_counter() - start < WINDOW:
        run()
        runs += 1
    return (time.perf_counter() - start) / runs * 1000


def main():
    engine, threads, folder = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not look like an answer
    ready = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            work, precision = WORKS[request["work"]], request["precision"]
            key = (work.name, precision)
            if key not in ready:
                ready[key] = importlib.import_module(f"engines.{engine}").load(work, precision, threads, folder)
            answer = {"ms": measure(ready[key]) / work.chain}
        except ModuleNotFoundError as e:
            answer = {"error": f"the package `{e.name}` is missing; run `pip install -r requirements.txt`"}
        except Exception as e:
            answer = {"error": f"{type(e).__name__}: {e}"}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
