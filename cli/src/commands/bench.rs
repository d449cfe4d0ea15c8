//! `upweave bench`: how fast kernels and networks run on this machine, and what share of its peak that is.

use std::{
    io::{self, BufRead},
    time::{Duration, Instant},
};

use models::{
    Precision,
    bench::{self, Prepared, Work},
    kernels::Isa,
};
use serde_json::{Value, json};

use crate::{
    args::{Bench, Numbers},
    peak_memory,
    speed::Peaks,
    terminal::{Terminal, print},
};

/// A work that takes long is not repeated for longer than this.
const PATIENCE: Duration = Duration::from_secs(20);

/// How long a work is repeated for one answer.
const LINGER: Duration = Duration::from_millis(250);

pub(crate) fn run(terminal: &Terminal, args: &Bench) -> u8 {
    if args.list {
        for work in &bench::WORKS {
            match terminal.json() {
                true => terminal.event(json!({ "work": work.name, "about": work.about })),
                false => print(&format!("{:22}  {}", work.name, work.about)),
            }
        }
        return 0;
    }
    if args.serve {
        return serve();
    }

    let mut works = Vec::new();
    for name in &args.works {
        match find(name) {
            Ok(work) => works.push(work),
            Err(message) => {
                terminal.error(&message, Some("`upweave bench --list` lists what can be measured"));
                return 2;
            }
        }
    }
    if works.is_empty() {
        // What takes more memory than there may be is measured only when it is named.
        works.extend(bench::WORKS.iter().filter(|work| !work.large));
    }
    let peaks = Peaks::measure();
    let threads = rayon::current_num_threads();
    let isa = Isa::detect();
    if terminal.json() {
        let gflops = |precision| peaks.of(precision) / 1e9;
        terminal.event(json!({
            "isa": isa.name(), "threads": threads,
            "peak_gflops": { "f32": gflops(Precision::F32), "bf16": gflops(Precision::Bf16) },
        }));
    } else {
        print(&format!(
            "{}, {threads} threads, peak {:.0} GFLOP/s in f32, {:.0} in bf16\n",
            isa.name(),
            peaks.of(Precision::F32) / 1e9,
            peaks.of(Precision::Bf16) / 1e9
        ));
        print("work                    numbers   best ms  median ms   GFLOP/s   of peak   peak MB");
    }
    for work in works {
        for precision in [Precision::F32, Precision::Bf16] {
            let wanted = match args.precision {
                None | Some(Numbers::Auto) => true,
                Some(Numbers::F32) => precision == Precision::F32,
                Some(Numbers::Bf16) => precision == Precision::Bf16,
            };
            if !wanted {
                continue;
            }
            let timed = match Timed::measure(work, precision, usize::from(args.rounds)) {
                Ok(timed) => timed,
                Err(error) => {
                    terminal.error(&format!("`{}` in {}: {error}", work.name, precision.name()), None);
                    return 1;
                }
            };
            if terminal.json() {
                terminal.event(timed.json(&peaks));
            } else {
                print(&timed.line(&peaks));
            }
        }
    }
    0
}

fn find(name: &str) -> Result<&'static Work, String> {
    bench::WORKS.iter().find(|work| work.name == name).ok_or_else(|| format!("there is no work called `{name}`"))
}

/// The times of one work.
struct Timed {
    work: &'static Work,
    precision: Precision,
    flops: f64,
    /// Seconds, the shortest first.
    seconds: Vec<f64>,
    peak_memory: Option<u64>,
}

impl Timed {
    /// Once to warm up, then `rounds` times.
    fn measure(work: &'static Work, precision: Precision, rounds: usize) -> models::Result<Self> {
        let mut prepared = bench::prepare(work.name, precision)?;
        prepared.run()?;
        peak_memory::reset();
        let begun = Instant::now();
        let mut seconds = Vec::new();
        while seconds.len() < rounds && (seconds.is_empty() || begun.elapsed() < PATIENCE) {
            seconds.push(once(&mut prepared)?);
        }
        seconds.sort_by(f64::total_cmp);
        Ok(Self { work, precision, flops: prepared.flops, seconds, peak_memory: peak_memory::read() })
    }

    fn best(&self) -> f64 {
        self.seconds[0]
    }

    fn median(&self) -> f64 {
        self.seconds[self.seconds.len() / 2]
    }

    fn line(&self, peaks: &Peaks) -> String {
        let rate = self.flops / self.best();
        let memory = self.peak_memory.map_or("-".to_owned(), |bytes| (bytes >> 20).to_string());
        format!(
            "{:22}  {:7}  {:8.2}   {:8.2}  {:8.1}   {:5.1} %   {memory:>7}",
            self.work.name,
            self.precision.name(),
            self.best() * 1e3,
            self.median() * 1e3,
            rate / 1e9,
            rate / peaks.of(self.precision) * 100.0
        )
    }

    fn json(&self, peaks: &Peaks) -> Value {
        let rate = self.flops / self.best();
        json!({
            "work": self.work.name,
            "precision": self.precision.name(),
            "ms": self.best() * 1e3,
            "median_ms": self.median() * 1e3,
            "rounds": self.seconds.len(),
            "gflops": rate / 1e9,
            "peak_share": rate / peaks.of(self.precision),
            "peak_memory": self.peak_memory,
        })
    }
}

fn once(prepared: &mut Prepared) -> models::Result<f64> {
    let start = Instant::now();
    prepared.run()?;
    Ok(start.elapsed().as_secs_f64())
}

/// Answers requests, one JSON object a line, such as `{"work": "conv3x3-320-64", "precision": "bf16"}`: so another program
/// can take turns with this one. What was asked last stays prepared.
fn serve() -> u8 {
    let peaks = Peaks::measure();
    let mut last: Option<(&'static Work, Precision, Prepared)> = None;
    for line in io::stdin().lock().lines() {
        let Ok(line) = line else { break };
        if line.trim().is_empty() {
            continue;
        }
        let answer = answer(&line, &peaks, &mut last).unwrap_or_else(|message| json!({ "error": message }));
        print(&answer.to_string());
    }
    0
}

fn answer(line: &str, peaks: &Peaks, last: &mut Option<(&'static Work, Precision, Prepared)>) -> Result<Value, String> {
    let request: Value = serde_json::from_str(line).map_err(|error| error.to_string())?;
    let field = |name: &str| request[name].as_str().ok_or_else(|| format!("`{name}` is missing"));
    let work = find(field("work")?)?;
    let precision = match field("precision")? {
        "f32" => Precision::F32,
        "bf16" => Precision::Bf16,
        other => return Err(format!("`precision` cannot be `{other}`: use f32 or bf16")),
    };
    let failed = |error: models::Error| error.to_string();
    let same = last.take().filter(|(old, of, _)| old.name == work.name && *of == precision);
    let mut prepared = match same {
        Some((.., prepared)) => prepared,
        None => {
            let mut fresh = bench::prepare(work.name, precision).map_err(failed)?;
            fresh.run().map_err(failed)?;
            fresh
        }
    };
    // One answer is the mean of a quarter of a second: short works are over sooner than a processor gets going.
    let (begun, mut runs) = (Instant::now(), 0.0);
    while runs == 0.0 || begun.elapsed() < LINGER {
        prepared.run().map_err(failed)?;
        runs += 1.0;
    }
    let seconds = vec![begun.elapsed().as_secs_f64() / runs];
    // Counted from the start of the program, loading included, as that of any program can be.
    let timed = Timed { work, precision, flops: prepared.flops, seconds, peak_memory: peak_memory::read() };
    *last = Some((work, precision, prepared));
    Ok(timed.json(peaks))
}
