"""What a run found, as Markdown tables and as plain data."""
from importlib.metadata import PackageNotFoundError, version
from os import sched_getaffinity
from pathlib import Path

FLAGS = ("avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8")
PACKAGES = ("torch", "onnxruntime", "openvino", "ncnn", "diffusers", "transformers")


def machine():
    facts = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        facts.setdefault(key.strip(), value.strip())
    flags = facts.get("flags", "").split()
    family = " ".join(facts[k] for k in ("cpu family", "model") if k in facts)
    return {
        "processor": f"{facts.get('model name', 'unknown')} (family and model {family})",
        "cores": len(sched_getaffinity(0)),
        "flags": [f for f in FLAGS if f in flags],
    }


def versions():
    found = {}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            pass
    return found


def rows(work, results):
    gflop = work.gflop / work.chain
    for c, r in results.items():
        row = {"work": work.name, "engine": c.engine, "precision": c.precision}
        if r.error:
            yield row | {"error": r.error}
        elif r.times:
            yield row | {
                "best_ms": r.best, "median_ms": r.median, "gflops": gflop / r.best * 1000, "peak_mb": r.peak_mb,
                "others": r.others_at_best, "times_ms": r.times, "others_per_round": r.others,
            }


def times_table(found):
    """The last column: the cores that other programs kept busy during the best round. Near 0 the time can be trusted."""
    lines = ["| work | engine | best ms | median ms | GFLOP/s | peak MB | others |", "|---|---|---|---|---|---|---|"]
    for r in found:
        name = f"| {r['work']} | {r['engine']} {r['precision']} |"
        if "error" in r:
            lines.append(f"{name} failed: {r['error']} | | | | |")
        else:
            lines.append(f"{name} {r['best_ms']:.2f} | {r['median_ms']:.2f} | {r['gflops']:.0f} | {r['peak_mb']:.0f} | {r['others']:.1f} |")
    return "\n".join(lines)


def ratio_table(found):
    """Upweave's best time as a share of each peer's: below 1 Upweave is faster."""
    best = {(r["work"], r["engine"], "bf16" if r["precision"] == "default" else r["precision"]): r["best_ms"] for r in found if "best_ms" in r}
    peers = list(dict.fromkeys(r["engine"] for r in found if r["engine"] != "upweave"))
    lines = ["| work | Upweave ms | " + " | ".join(f"/ {p}" for p in peers) + " |", "|---" * (len(peers) + 2) + "|"]
    for (work, engine, precision), own in best.items():
        if engine == "upweave":
            shares = (best.get((work, p, precision)) for p in peers)
            cells = " | ".join(f"{own / s:.2f}" if s else "" for s in shares)
            lines.append(f"| {work} {precision} | {own:.2f} | {cells} |")
    return "\n".join(lines)
