//! Prints how fast the kernels and the embedded networks are: `cargo run --release -p upweave-models --example speed`.
//! With paths of a faithful and a detail file as arguments, those are measured instead of the embedded ones.

use std::time::Instant;

use half::bf16;
use models::kernels::{
    Activation, After, Conv, Element, Isa, Place, Source, Tokens, attention, convert, group_norm, layer_norm, peak,
    rms_norm,
};
use models::{DamageCondition, Detail, Factor, Faithful, Picture, Sampling, Unwatched};

/// Best seconds of `times` runs.
fn best(times: usize, mut run: impl FnMut()) -> f64 {
    let once = |_| {
        let start = Instant::now();
        run();
        start.elapsed().as_secs_f64()
    };
    (0..times).map(once).fold(f64::INFINITY, f64::min)
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

/// Runs once and prints the speed, given the megapixels and the GFLOP of one run.
fn whole(name: &str, pixels: f64, work: f64, run: impl FnOnce() -> models::Result<Vec<f32>>) -> models::Result<()> {
    let (start, before) = (Instant::now(), processor_seconds());
    run()?;
    let (wall, after) = (start.elapsed().as_secs_f64(), processor_seconds());
    print!("{name}: {:.3} MP/s, {:.1} GFLOP/s", pixels / wall, work / wall);
    if let (Some(before), Some(after)) = (before, after) {
        let busy = after - before;
        print!("; per processor second {:.3} MP, {:.1} GFLOP", pixels / busy, work / busy);
    }
    println!();
    Ok(())
}

fn convolution<E: Element>(channels: (usize, usize), edge: usize, kernel: usize, stride: usize, peak: f64) {
    let (inputs, outputs) = channels;
    let weights = vec![0.01; outputs * inputs * kernel * kernel];
    let conv = Conv::<E>::new(Isa::detect(), &weights, &vec![0.1; outputs], inputs, kernel, stride);
    let row = (edge * stride + 2) * inputs;
    let len = row * (edge * stride + 2);
    let (mut input, mut out) = (vec![E::default(); len], vec![E::default(); edge * edge * outputs]);
    convert(&vec![0.5f32; len], &mut input);
    let source = Source { data: &input, start: 0, row, pixel: inputs };
    let place = Place { start: 0, row: edge * outputs, pixel: outputs, width: edge, height: edge };
    let flops = conv.flops() as f64 * (edge * edge) as f64 / 1e9;
    let times = (20.0 / flops).clamp(5.0, 100.0) as usize;
    let mut seconds = |activation| best(times, || conv.run(source, &mut out, place, After::only(activation)));
    let (bare, silu) = (seconds(Activation::Identity), seconds(Activation::Silu));
    println!(
        "{} {kernel}x{kernel} stride {stride}, {inputs:4} -> {outputs:4} at {edge}x{edge}: {:6.1} GFLOP/s ({:.0} %), with SiLU {:6.1} ({:.0} %)",
        std::any::type_name::<E>(),
        flops / bare,
        flops / bare / peak * 100.0,
        flops / silu,
        flops / silu / peak * 100.0
    );
}

/// Pixels of one row, with values of order one that differ.
fn map<E: Element>(len: usize, seed: usize) -> Vec<E> {
    let values: Vec<f32> = (seed..seed + len).map(|i| (i * 7919 % 2003) as f32 / 1001.0 - 1.0).collect();
    let mut map = vec![E::default(); len];
    convert(&values, &mut map);
    map
}

fn attentions<E: Element>(peak: f64) {
    for (heads, queries, keys, size, causal) in [
        (8, 4096, 4096, 40, false),
        (8, 1024, 1024, 80, false),
        (8, 256, 256, 160, false),
        (8, 64, 64, 160, false),
        (8, 4096, 77, 40, false),
        (8, 1024, 77, 80, false),
        (1, 4096, 4096, 512, false),
        (12, 77, 77, 64, true),
    ] {
        let channels = heads * size;
        let (q, k, v) = (map::<E>(queries * channels, 1), map(keys * channels, 5), map(keys * channels, 11));
        let mut out = vec![E::default(); queries * channels];
        let place = Place { start: 0, row: queries * channels, pixel: channels, width: queries, height: 1 };
        let [tokens_q, tokens_k, tokens_v] = [&q, &k, &v].map(|map| Tokens::line(map, channels));
        let scale = 1.0 / (size as f32).sqrt();
        let flops = 4.0 * (heads * queries * keys * size) as f64 / if causal { 2.0 } else { 1.0 } / 1e9;
        let seconds = best((100.0 / flops).clamp(5.0, 100.0) as usize, || {
            attention(Isa::detect(), tokens_q, tokens_k, tokens_v, heads, size, scale, causal, &mut out, place);
        });
        println!(
            "{} attention, {heads:2} heads of {size:3}, {queries:4} queries, {keys:4} keys{}: {:7.3} ms, {:6.1} GFLOP/s ({:.0} %)",
            std::any::type_name::<E>(),
            if causal { ", causal" } else { "" },
            seconds * 1e3,
            flops / seconds,
            flops / seconds / peak * 100.0
        );
    }
}

/// How fast a map is normalised, in GB/s of the map read and the map written, each counted once.
fn norms<E: Element>() {
    for (channels, edge) in [(320, 64), (1280, 16), (128, 256)] {
        let (pixels, isa) = (edge * edge, Isa::detect());
        let data = map::<E>(pixels * channels, 3);
        let mut out = vec![E::default(); data.len()];
        let place = Place { start: 0, row: edge * channels, pixel: channels, width: edge, height: edge };
        let from = Tokens { data: &data, start: 0, row: place.row, pixel: channels, width: edge, height: edge };
        let (weight, bias) = (vec![1.0; channels], vec![0.0; channels]);
        let gigabytes = 2.0 * size_of_val(&data[..]) as f64 / 1e9;
        let print = |name: &str, seconds: f64| {
            let rate = gigabytes / seconds;
            let format = std::any::type_name::<E>();
            println!("{format} {name}, {channels:4} at {edge}x{edge}: {:7.3} ms, {rate:5.1} GB/s", seconds * 1e3);
        };
        for (name, activation) in [("group norm", Activation::Identity), ("group norm with SiLU", Activation::Silu)] {
            let run = || group_norm(isa, from, 32, &weight, &bias, 1e-5, activation, &mut out, place);
            print(name, best(50, run));
        }
        print("layer norm", best(50, || layer_norm(isa, from, &weight, &bias, 1e-5, &mut out, place)));
        print("RMS norm", best(50, || rms_norm(&data, &mut out, &weight, 0, place.row, edge, edge)));
    }
}

fn kernels<E: Element>() {
    let threads = rayon::current_num_threads();
    let peak = peak::<E>(Isa::detect()) * threads as f64 / 1e9;
    println!("{:?}, {threads} threads, peak {peak:.1} GFLOP/s", Isa::detect());
    attentions::<E>(peak);
    norms::<E>();
    for (channels, edge) in [(48, 64), (64, 256), (320, 64), (640, 32), (1280, 16)] {
        convolution::<E>((channels, channels), edge, 3, 1, peak);
    }
    convolution::<E>((320, 2560), 64, 1, 1, peak);
    convolution::<E>((1280, 320), 64, 1, 1, peak);
    convolution::<E>((64, 64), 32, 2, 2, peak);
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    kernels::<f32>();
    kernels::<bf16>();
    let files: Vec<Vec<u8>> = std::env::args().skip(1).map(std::fs::read).collect::<Result<_, _>>()?;
    let (own_faithful, own_detail);
    let (faithful, detail) = if let [faithful, detail] = &files[..] {
        (own_faithful, own_detail) = (Faithful::from_safetensors(faithful)?, Detail::from_safetensors(detail)?);
        (&own_faithful, &own_detail)
    } else {
        (Faithful::embedded()?, Detail::embedded()?)
    };

    let (width, height) = (512, 384);
    let rgb: Vec<f32> = (0..3 * width * height).map(|i| (i % 251) as f32 / 251.0).collect();
    let picture = Picture::new(width, height, &rgb)?;
    let pixels = f64::from(width * height) / 1e6;
    for factor in [Factor::X2, Factor::X4] {
        for tile in [64, Faithful::TILE, 256, 512] {
            let (name, area) = (format!("enlarge x{}, tiles of {tile}", factor.get()), f64::from(factor.get().pow(2)));
            let work = faithful.flops_per_pixel(factor) * pixels / 1e3;
            let damage = DamageCondition::default();
            whole(&name, pixels * area, work, || faithful.enlarge(picture, damage, factor, tile, &mut Unwatched))?;
        }
    }
    for tile in [128, 256, Detail::TILE] {
        let sampling = Sampling { tile, ..Sampling::default() };
        let work = detail.flops_per_pixel() * f64::from(sampling.steps) * pixels / 1e3;
        let name = format!("sample, {} steps, tiles of {tile}", sampling.steps);
        whole(&name, pixels, work, || detail.sample(picture, &sampling, &mut Unwatched))?;
    }
    Ok(())
}
