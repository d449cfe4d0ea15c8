"""Measure Upweave beside PyTorch, ONNX Runtime, OpenVINO and ncnn, at the same works, with the engines in turn.

    pip install -r requirements.txt
    python run.py --upweave ../../target/release/upweave"""
import argparse
import hashlib
import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import contender
import report
from engines import ENGINES
from race import race
from shapes import WORKS

HERE = contender.HERE
MODELS = HERE.parents[1] / "target" / "peers"


def models_folder():
    """Another folder for whatever else the files would hold."""
    upscalers = HERE.parents[1] / "models" / "tests" / "parity" / "upscalers.py"
    sources = [upscalers, *(HERE / name for name in ("shapes.py", "networks.py", "export.py", "requirements.txt"))]
    digest = hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()[:8]
    folder = MODELS / digest
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def export(engine, work, folder):
    """The work as a file that the engine reads. Returns what went wrong."""
    name = work.name + ENGINES[engine].ending
    if (folder / name).exists():
        return ""
    print(f"writing {name}", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(dir=folder) as part:
        command = [sys.executable, "export.py", engine, work.name, str(Path(part) / name)]
        done = subprocess.run(command, cwd=HERE, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        written = sorted(Path(part).iterdir(), key=lambda p: p.name == name)  # the one that is looked for comes last
        if done.returncode != 0 or name not in (p.name for p in written):
            return f"no `{name}`: {done.stderr.strip().rpartition(chr(10))[2]}"
        for path in written:
            path.replace(folder / path.name)
    return ""


def contenders_for(work, args, folder):
    """Who takes part, and the reasons of those who can't."""
    wanted = lambda c: not args.engines or c.engine in args.engines or str(c) in args.engines  # noqa: E731
    found, failed = [], {}
    if args.upweave:
        own = [contender.upweave(args.upweave, p, args.threads) for p in ("f32", "bf16")]
        found += filter(wanted, own)
    for name, engine in ENGINES.items():
        if engine.kinds and not work.name.startswith(engine.kinds):
            continue
        peers = list(filter(wanted, (contender.peer(name, p, args.threads, folder) for p in engine.precisions)))
        error = export(name, work, folder) if peers and engine.ending else ""
        if error:
            failed |= dict.fromkeys(peers, error)
        else:
            found += peers
    return found, failed


def arguments():
    names = ["upweave"] + [n for e, about in ENGINES.items() for n in (e, *(f"{e}-{p}" for p in about.precisions))]
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--only", nargs="+", choices=WORKS, default=list(WORKS), metavar="WORK", help=", ".join(WORKS))
    p.add_argument("--engines", nargs="+", choices=names, metavar="ENGINE", help=", ".join(names))
    p.add_argument("--rounds", type=int, default=5, help="how often each engine has its turn (5)")
    p.add_argument("--threads", type=int, default=2, help="of each engine (2)")
    p.add_argument("--upweave", type=Path, metavar="BINARY", help="a release build of Upweave; without it only the peers run")
    p.add_argument("--json", type=Path, metavar="FILE", help="also write all times there")
    args = p.parse_args()
    if sys.platform != "linux":
        p.error("this runs on Linux only: memory is read from /proc")
    if args.rounds < 1 or args.threads < 1:
        p.error("`--rounds` and `--threads` start at 1")
    if args.upweave:
        if not args.upweave.is_file():
            p.error(f"there is no `{args.upweave}`; build it with `cargo build --release`")
        args.upweave = args.upweave.resolve()
    elif args.engines and "upweave" in args.engines:
        p.error("`upweave` wants `--upweave BINARY`")
    return args


def main():
    args = arguments()
    folder = models_folder()
    facts, versions, found, stopped = report.machine(), report.versions(), [], False
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"{facts['processor']}, {facts['cores']} cores, {' '.join(facts['flags'])}; {args.threads} threads")
    print(", ".join(f"{name} {v}" for name, v in versions.items()), "\n")
    for name in args.only:
        contenders, failed = contenders_for(WORKS[name], args, folder)
        results = {}
        try:
            race(WORKS[name], contenders, args.rounds, results)
        except KeyboardInterrupt:
            stopped = True
        found += report.rows(WORKS[name], results)
        found += ({"work": name, "engine": c.engine, "precision": c.precision, "error": e} for c, e in failed.items())
        if args.json:
            whole = {"machine": facts, "threads": args.threads, "versions": versions, "results": found}
            args.json.write_text(json.dumps(whole, indent=1) + "\n")
        if stopped:
            print("stopped; this is what was measured until then", file=sys.stderr)
            break
    print(report.times_table(found))
    if args.upweave:
        print("\nUpweave's time as a share of the peer's (below 1: Upweave is faster)\n")
        print(report.ratio_table(found))
    return 1 if stopped or any("error" in r for r in found) else 0


if __name__ == "__main__":
    sys.exit(main())
