//! Headers of safetensors files that lie, are far too large, or are no headers: each is refused, or read as what it is, within a second
//! and 256 MiB, whatever asks for it.

use std::path::Path;
use std::time::Instant;

use models::stable_diffusion::{Checkpoint, Embedding, Lora, identify};
use models::{Compute, SuperResolution};

/// A file: a length, a header, and bytes behind.
fn file(length: u64, header: &[u8], behind: usize) -> Vec<u8> {
    [&length.to_le_bytes()[..], header, &vec![0; behind]].concat()
}

fn honest(header: &str, behind: usize) -> Vec<u8> {
    file(header.len() as u64, header.as_bytes(), behind)
}

fn entry(name: &str, shape: &str, offsets: &str) -> String {
    format!(r#""{name}":{{"dtype":"F32","shape":{shape},"data_offsets":{offsets}}}"#)
}

/// What is wrong, and the file.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let one = |text: &str| honest(text, 16);
    let braced = |text: &str| honest(&format!("{{{text}}}"), 16);
    let many = |count: usize| {
        let entries: Vec<String> = (0..count).map(|i| entry(&format!("t{i}"), "[0]", "[0,0]")).collect();
        honest(&format!("{{{}}}", entries.join(",")), 0)
    };
    let good = entry("a", "[4]", "[0,16]");
    let unet = "model.diffusion_model.input_blocks.0.0.weight";
    vec![
        ("nothing", vec![]),
        ("a byte", vec![0]),
        ("a length alone", 16u64.to_le_bytes().to_vec()),
        ("the longest header", file(u64::MAX, b"{}", 0)),
        ("a header of 2^63", file(1 << 63, b"{}", 0)),
        ("a header of 2^40 - 1", file((1 << 40) - 1, b"{}", 0)),
        ("a header longer than the file", file(100, b"{}", 8)),
        ("a header of 99 MB of blanks", file(99_000_000, &[b' '; 99_000_000], 0)),
        ("a header of 99 MB with a brace", file(99_000_000, &[&b"{"[..], &[b' '; 98_999_999]].concat(), 0)),
        ("a header just above the limit", file((16 << 20) + 1, &vec![b'{'; (16 << 20) + 1], 0)),
        ("a header of braces up to the limit", file(16 << 20, &vec![b'{'; 16 << 20], 0)),
        ("a header of brackets", honest(&format!("{{\"a\":{}", "[".repeat(1_000_000)), 0)),
        ("a name of 15 MB", braced(&entry(&"n".repeat(15 << 20), "[4]", "[0,16]"))),
        ("a million entries", many(1_000_000)),
        ("as many entries as may be", many(100_000)),
        ("one entry more", many(100_001)),
        ("a million keys without offsets", {
            let keys: Vec<String> = (0..1_000_000).map(|i| format!("\"{i}\":0")).collect();
            honest(&format!("{{{}}}", keys.join(",")), 0)
        }),
        ("no header", one("")),
        ("blanks", one("        ")),
        ("no JSON", one("{hello}")),
        ("half of it", one("{\"a\":{\"dtype\":\"F32\",")),
        ("NaN", braced("\"a\":NaN")),
        ("NaN as a side", braced(&entry("a", "[NaN]", "[0,16]"))),
        ("a negative side", braced(&entry("a", "[-4]", "[0,16]"))),
        ("half a side", braced(&entry("a", "[4.5]", "[0,16]"))),
        ("a side of 1e400", braced(&entry("a", "[1e400]", "[0,16]"))),
        ("a side beyond 64 bits", braced(&entry("a", "[18446744073709551616]", "[0,16]"))),
        ("a product beyond 64 bits", braced(&entry("a", "[4294967296,4294967296,4294967296]", "[0,16]"))),
        ("a product that comes round to 4", braced(&entry("a", "[9223372036854775808,2,4]", "[0,16]"))),
        ("a thousand dimensions", braced(&entry("a", &format!("[{}4]", "1,".repeat(999)), "[0,16]"))),
        ("nine dimensions", braced(&entry("a", "[1,1,1,1,1,1,1,1,4]", "[0,16]"))),
        ("offsets the wrong way round", braced(&entry("a", "[4]", "[16,0]"))),
        ("offsets beyond the file", braced(&entry("a", "[4000000000]", "[0,16000000000]"))),
        ("offsets beyond 64 bits", braced(&entry("a", "[4]", "[0,18446744073709551615]"))),
        ("one offset", braced(&entry("a", "[4]", "[0]"))),
        ("three offsets", braced(&entry("a", "[4]", "[0,8,16]"))),
        ("offsets over each other", braced(&[entry("a", "[3]", "[0,12]"), entry("b", "[3]", "[4,16]")].join(","))),
        ("the same offsets", braced(&[entry("a", "[4]", "[0,16]"), entry("b", "[4]", "[0,16]")].join(","))),
        ("a hole", braced(&[entry("a", "[1]", "[0,4]"), entry("b", "[1]", "[12,16]")].join(","))),
        ("bytes behind the end", honest(&format!("{{{good}}}"), 32)),
        ("bytes that are missing", honest(&format!("{{{good}}}"), 12)),
        ("the same name twice", braced(&format!("{good},{good}"))),
        ("metadata twice", braced(&format!("\"__metadata__\":{{}},\"__metadata__\":{{}},{good}"))),
        ("metadata that are no texts", braced(&format!("\"__metadata__\":{{\"a\":{{\"b\":1}}}},{good}"))),
        ("an unknown dtype", braced(r#""a":{"dtype":"F33","shape":[4],"data_offsets":[0,16]}"#)),
        ("a dtype of half a byte", braced(r#""a":{"dtype":"F4","shape":[32],"data_offsets":[0,16]}"#)),
        ("no dtype", braced(r#""a":{"shape":[4],"data_offsets":[0,16]}"#)),
        ("a key too many", braced(r#""a":{"dtype":"F32","shape":[4],"data_offsets":[0,16],"x":1}"#)),
        ("names that leave the folder", braced(&entry("../../etc/passwd", "[4]", "[0,16]"))),
        ("a name with a zero", braced(&entry("a\\u0000b", "[4]", "[0,16]"))),
        ("no UTF-8", file(4, b"{\xff\xfe}", 16)),
        ("half a surrogate", braced(&entry("\\ud800", "[4]", "[0,16]"))),
        ("bytes behind the JSON", one(&format!("{{{good}}}garbage"))),
        ("an array", one("[1,2,3]")),
        ("a U-Net without sides", braced(&entry(unet, "[]", "[0,4]")).into_iter().take(4096).collect()),
        ("a U-Net of nothing", honest(&format!("{{{}}}", entry(unet, "[0,0,0,0]", "[0,0]")), 0)),
        (
            "a U-Net of numbers beyond all",
            honest(
                &format!(
                    "{{{}}}",
                    entry("model.diffusion_model.input_blocks.99999999999999999999.0.op.weight", "[0]", "[0,0]")
                ),
                0,
            ),
        ),
        ("a U-Net of many levels", {
            let block = |i: u64| {
                entry(&format!("model.diffusion_model.input_blocks.{}.0.op.weight", i * 7 + 1), "[0]", "[0,0]")
            };
            let blocks: Vec<String> = (0..50_000).map(block).chain([entry(unet, "[0]", "[0,0]")]).collect();
            honest(&format!("{{{}}}", blocks.join(",")), 0)
        }),
        ("half of a LoRA", braced(&entry("lora_unet_a.lora_up.weight", "[2,2]", "[0,16]"))),
        (
            "a LoRA of rank 0",
            honest(
                &format!(
                    "{{{},{}}}",
                    entry("lora_unet_a.lora_up.weight", "[2,0]", "[0,0]"),
                    entry("lora_unet_a.lora_down.weight", "[0,2]", "[0,0]")
                ),
                0,
            ),
        ),
        ("an embedding without rows", honest(&format!("{{{}}}", entry("emb_params", "[0,768]", "[0,0]")), 0)),
    ]
}

/// Most memory that this process had at once, in bytes; nothing where the system does not say.
fn most_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().trim_end_matches(" kB").parse::<u64>().ok().map(|kib| kib << 10)
}

/// Reads a file in every way there is.
fn read(path: &Path) {
    if let Ok(checkpoint) = Checkpoint::open(path) {
        let compute = Compute::default();
        _ = checkpoint.unet(&compute, &[]);
        _ = checkpoint.text_encoders(&compute, &[]);
        _ = checkpoint.vae_decoder(&compute, &[]);
        _ = checkpoint.vae_encoder(&compute, &[]);
    }
    _ = identify(path);
    _ = Lora::open(path);
    _ = Embedding::open(path);
}

#[test]
fn every_header_is_refused_or_read_in_time() {
    let folder = tempfile::tempdir().expect("a folder for the files");
    let mut worst = ("", 0.0);
    let paths: Vec<_> = files()
        .into_iter()
        .enumerate()
        .map(|(i, (name, bytes))| {
            let path = folder.path().join(format!("{i}.safetensors"));
            std::fs::write(&path, bytes).expect("room for the files");
            (name, path)
        })
        .collect();
    assert!(paths.len() >= 50, "{}", paths.len());
    // Making the files took memory; from here on it is theirs.
    _ = std::fs::write("/proc/self/clear_refs", "5");
    let before = most_memory();
    for (name, path) in &paths {
        let start = Instant::now();
        read(path);
        let seconds = start.elapsed().as_secs_f64();
        // Four readers of the same header: each has a second.
        assert!(seconds < 4.0, "{name}: {seconds:.1} s");
        if seconds > worst.1 {
            worst = (name, seconds);
        }
        _ = SuperResolution::from_safetensors(&std::fs::read(path).expect("it was written"), Compute::default());
    }
    let memory = most_memory();
    println!("{} files; the slowest: {worst:?} s; memory {before:?} to {memory:?} bytes", paths.len());
    // What making the files has left with the allocator is not theirs.
    if let (Some(memory), Some(before)) = (memory, before) {
        assert!(memory.saturating_sub(before) < 256 << 20, "{before} to {memory} bytes");
    }
}
