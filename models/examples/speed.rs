//! Prints how fast the works of `models::bench` are: `cargo run --release -p upweave-models --example speed [f32|bf16]
//! [NAME...]`.

use std::time::Instant;

use half::bf16;
use models::Precision;
use models::bench::{WORKS, prepare};
use models::kernels::{Isa, peak};

/// The most memory that this process has had so far, in MB, where Linux tells.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib / 1024)
}

/// Seconds that all threads of this process have spent on processors, where Linux tells: on a machine that is busy with
/// other things, the clock on the wall says little.
fn processor_seconds() -> Option<f64> {
    let tasks = std::fs::read_dir("/proc/self/task").ok()?;
    let nanoseconds = |task: std::fs::DirEntry| -> Option<f64> {
        let text = std::fs::read_to_string(task.path().join("schedstat")).ok()?;
        text.split_whitespace().next()?.parse().ok()
    };
    Some(tasks.flatten().filter_map(nanoseconds).sum::<f64>() / 1e9)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut names: Vec<String> = std::env::args().skip(1).collect();
    let precisions: &[Precision] = match names.first().map(String::as_str) {
        Some("f32") => &[Precision::F32],
        Some("bf16") => &[Precision::Bf16],
        _ => &[Precision::F32, Precision::Bf16],
    };
    names.retain(|name| name != "f32" && name != "bf16");
    let threads = rayon::current_num_threads();
    for &precision in precisions {
        let per_thread = match precision {
            Precision::F32 => peak::<f32>(Isa::detect()),
            Precision::Bf16 => peak::<bf16>(Isa::detect()),
        };
        let peak = per_thread * threads as f64;
        println!("{}, {:?}, {threads} threads, peak {:.1} GFLOP/s", precision.name(), Isa::detect(), peak / 1e9);
        for work in WORKS.iter().filter(|work| names.is_empty() || names.iter().any(|name| name == work.name)) {
            let mut ready = prepare(work.name, precision)?;
            // Once to warm up, then for about two seconds.
            let (mut best, mut least, start) = (f64::INFINITY, f64::INFINITY, Instant::now());
            for round in 0..200 {
                let (start_of_run, before) = (Instant::now(), processor_seconds());
                ready.run()?;
                if round > 0 {
                    best = best.min(start_of_run.elapsed().as_secs_f64());
                    if let (Some(before), Some(after)) = (before, processor_seconds()) {
                        least = least.min(after - before);
                    }
                }
                if round > 1 && start.elapsed().as_secs_f64() > 2.0 {
                    break;
                }
            }
            let (speed, memory) = (ready.flops / best, most_memory().unwrap_or(0));
            println!(
                "  {:20} {:9.2} ms {:8.1} GFLOP/s {:3.0} %, {:6.1} GFLOP per processor second, {memory} MB",
                work.name,
                best * 1e3,
                speed / 1e9,
                speed / peak * 100.0,
                ready.flops / least / 1e9
            );
        }
    }
    Ok(())
}
