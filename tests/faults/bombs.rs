//! Small files that want much memory or time: each is refused, or read for what it is worth, in no time and no memory.
//! A suite of the command line, as it runs the program.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use flate2::{Compression, write::ZlibEncoder};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// What an inflated bomb would hold.
const GIB: u64 = 1 << 30;

/// One run of the program: its exit code, what it said, how long it took, and the most memory that it held.
struct Seen {
    code: i32,
    said: String,
    time: Duration,
    bytes: u64,
}

fn run(folder: &Path, arguments: &[&str]) -> Seen {
    let begun = Instant::now();
    let mut child = Command::new(env!("CARGO_BIN_EXE_upweave"))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = String::new();
    let status = format!("/proc/{}/status", child.id());
    let mut bytes = 0;
    // What it says is short; the pipe holds all of it.
    let code = loop {
        let text = fs::read_to_string(&status).unwrap_or_default();
        let peak =
            text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix("kB")?.trim().parse().ok());
        bytes = bytes.max(peak.unwrap_or(0u64) << 10);
        if let Some(status) = child.try_wait().unwrap() {
            break status.code().unwrap_or(-1);
        }
        std::thread::sleep(Duration::from_micros(200));
    };
    let time = begun.elapsed();
    child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    Seen { code, said, time, bytes }
}

/// Memory that the program holds before it does anything.
fn idle(folder: &Path) -> u64 {
    run(folder, &["doctor", "no-such-file"]).bytes
}

fn zeros(length: u64) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::best());
    io::copy(&mut io::repeat(0).take(length), &mut encoder).unwrap();
    encoder.finish().unwrap()
}

fn chunk(file: &mut Vec<u8>, name: &[u8; 4], data: &[u8]) {
    file.extend((data.len() as u32).to_be_bytes());
    let mut sum = flate2::Crc::new();
    sum.update(name);
    sum.update(data);
    file.extend(name);
    file.extend(data);
    file.extend(sum.sum().to_be_bytes());
}

/// A PNG file of that size, of one bit or eight bits of grey, with these chunks before its pixels.
fn png(width: u32, height: u32, bits: u8, before: &[(&[u8; 4], &[u8])], pixels: &[u8]) -> Vec<u8> {
    let mut file = b"\x89PNG\r\n\x1a\n".to_vec();
    let [w, h] = [width, height].map(u32::to_be_bytes);
    chunk(&mut file, b"IHDR", &[&w[..], &h[..], &[bits, 0, 0, 0, 0]].concat());
    before.iter().for_each(|(name, data)| chunk(&mut file, name, data));
    chunk(&mut file, b"IDAT", pixels);
    chunk(&mut file, b"IEND", &[]);
    file
}

/// An animated GIF of so many frames of 16 x 16 pixels.
fn gif(frames: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut file);
    let frame = image::RgbaImage::from_fn(16, 16, |x, y| image::Rgba([x as u8 * 9, y as u8 * 7, 90, 255]));
    for _ in 0..frames {
        encoder.encode_frame(image::Frame::new(frame.clone())).unwrap();
    }
    drop(encoder);
    file
}

/// An animated PNG of so many frames.
fn apng(frames: u32) -> Vec<u8> {
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 16, 16);
    encoder.set_animated(frames, 0).unwrap();
    let mut writer = encoder.write_header().unwrap();
    let pixels: Vec<u8> = (0..=255).collect();
    (0..frames).for_each(|_| writer.write_image_data(&pixels).unwrap());
    writer.finish().unwrap();
    file
}

/// An animated WebP of so many frames.
fn webp(frames: u32) -> Vec<u8> {
    let picture = image::RgbaImage::from_fn(16, 16, |x, y| image::Rgba([x as u8 * 9, y as u8 * 7, 90, 255]));
    let mut still = Vec::new();
    image::ImageEncoder::write_image(
        image::codecs::webp::WebPEncoder::new_lossless(&mut still),
        &picture,
        16,
        16,
        image::ExtendedColorType::Rgba8,
    )
    .unwrap();
    let riff = |name: &[u8; 4], data: &[u8]| {
        let mut chunk = [&name[..], &(data.len() as u32).to_le_bytes(), data].concat();
        chunk.resize(chunk.len().next_multiple_of(2), 0);
        chunk
    };
    let frame = riff(b"ANMF", &[&[0; 6][..], &[15, 0, 0, 15, 0, 0, 10, 0, 0, 0], &still[12..]].concat());
    let mut body = b"WEBP".to_vec();
    body.extend(riff(b"VP8X", &[0b10, 0, 0, 0, 15, 0, 0, 15, 0, 0]));
    body.extend(riff(b"ANIM", &[0; 6]));
    (0..frames).for_each(|_| body.extend(&frame));
    [&b"RIFF"[..], &(body.len() as u32).to_le_bytes(), &body].concat()
}

#[test]
fn pictures_that_are_bombs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let idle = idle(at);
    let row = |width: u64| width.div_ceil(8) + 1;
    let bomb = zeros(GIB);
    let small = zeros(17 * 16);
    let named = |name: &str, rest: &[u8]| [name.as_bytes(), &[0], rest, &bomb].concat();
    let text = named("Comment", &[0]);
    let profile = named("profile", &[0]);
    let translated = named("Comment", &[1, 0, 0, 0]);
    let xmp = named("XML:com.adobe.xmp", &[1, 0, 0, 0]);
    let mut lying_gif = gif(1);
    lying_gif[6..10].fill(0xff);
    let files: Vec<(&str, Vec<u8>, &[i32])> = vec![
        // Beyond the limits, by the header.
        ("one-bit.png", png(31_623, 31_623, 1, &[], &zeros(row(31_623) * 31_623)), &[4]),
        ("claims-much.png", png(2_000_000_000, 2_000_000_000, 8, &[], &small), &[4]),
        ("claims-much.gif", lying_gif, &[4]),
        (
            "claims-much.bmp",
            [
                &b"BM"[..],
                &[0; 8],
                &[54, 0, 0, 0, 40, 0, 0, 0],
                &[0xff, 0xff, 0xff, 0x7f].repeat(2),
                &[1, 0, 24, 0],
                &[0; 24],
            ]
            .concat(),
            &[3, 4],
        ),
        ("claims-much.ppm", b"P6 4000000000 4000000000 255\n".to_vec(), &[3, 4]),
        ("claims-much.qoi", [&b"qoif"[..], &[0x7f, 0xff, 0xff, 0xff].repeat(2), &[4, 0]].concat(), &[3, 4]),
        // More pixels than the header says: what it says is read.
        ("claims-little.png", png(16, 16, 8, &[], &bomb), &[0, 3]),
        // Animations count as their first picture.
        ("frames.png", apng(10_000), &[0]),
        ("frames.gif", gif(10_000), &[0]),
        ("frames.webp", webp(10_000), &[0]),
        // Texts and profiles that inflate without end.
        ("ztxt.png", png(16, 16, 8, &[(b"zTXt", &text)], &small), &[0]),
        ("itxt.png", png(16, 16, 8, &[(b"iTXt", &translated)], &small), &[0]),
        ("xmp.png", png(16, 16, 8, &[(b"iTXt", &xmp)], &small), &[0]),
        ("iccp.png", png(16, 16, 8, &[(b"iCCP", &profile)], &small), &[0, 4]),
    ];
    let mut table = String::new();
    for (name, bytes, codes) in &files {
        fs::write(at.join(name), bytes).unwrap();
        for arguments in [
            &["upscale", name, "-o", "out.png", "--graph", "quick", "--no-cache", "--on-exists", "overwrite"][..],
            &["doctor", name],
        ] {
            let seen = run(at, arguments);
            let above = seen.bytes.saturating_sub(idle) >> 20;
            table += &format!(
                "{name:18} {:8} {} {:4} ms {above:3} MiB above idle\n",
                arguments[0],
                seen.code,
                seen.time.as_millis()
            );
            assert!(codes.contains(&seen.code), "{arguments:?}: {} {}", seen.code, seen.said);
            assert!(!seen.said.contains("panicked"), "{}", seen.said);
            // A bar against hangs, and against inflating.
            assert!(seen.time < Duration::from_secs(10), "{arguments:?}: {:?}", seen.time);
            // What is read is worked on: by networks, which are to be unpacked.
            let most = if seen.code == 0 { 96 } else { 32 };
            assert!(above <= most, "{arguments:?}: {above} MiB above idle\n{table}");
            if seen.code == 4 {
                assert!(seen.said.contains("limit") || seen.said.contains("memory"), "{}", seen.said);
            }
        }
    }
    println!("idle {} MiB\n{table}", idle >> 20);
}

#[test]
fn graphs_that_are_bombs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let idle = idle(at);
    let nodes = |count: u32, wire: &dyn Fn(u32) -> String| {
        let mut text = String::from("Graph(format: 1, outputs: {\"out\": \"n0\"}, nodes: {\n");
        (0..count).for_each(|n| text += &format!("\"n{n}\": Sharpen(image: \"{}\"),\n", wire(n)));
        text + "})"
    };
    let cycle = |count: u32| nodes(count, &|n| format!("n{}", (n + 1) % count));
    let deep = |open: &str, close: &str| {
        let inner = open.repeat(100_000) + &close.repeat(100_000);
        format!("Graph(format: 1, outputs: {{\"out\": \"a\"}}, nodes: {{\"a\": Crop(image: {inner})}})")
    };
    let files = [
        ("parentheses.ron", deep("(", ")")),
        ("brackets.ron", deep("[", "]")),
        ("braces.ron", deep("{\"a\":", "}")),
        ("options.ron", deep("Some(", ")")),
        ("million.ron", nodes(1_000_000, &|n| format!("n{}", n / 2))),
        ("million-cycle.ron", cycle(1_000_000)),
        (
            "many-small.ron",
            format!(
                "Graph(format: 1, outputs: {{\"out\": \"a\"}}, nodes: {{{}}})",
                (0..300_000).map(|n| format!("\"{n}\":A,")).collect::<String>()
            ),
        ),
        (
            "long-list.ron",
            format!(
                "Graph(format: 1, outputs: {{\"out\": \"a\"}}, expose: {{\"x\": (sets: [{}])}})",
                "\"a\",".repeat(800_000)
            ),
        ),
    ];
    let mut table = String::new();
    let mut look = |name: &str| {
        for arguments in [&["graph", "check", name][..], &["upscale", "no.png", "--graph", name], &["doctor", name]] {
            let seen = run(at, arguments);
            let above = seen.bytes.saturating_sub(idle) >> 20;
            table += &format!(
                "{name:18} {:8} {} {:4} ms {above:3} MiB above idle\n",
                arguments[0],
                seen.code,
                seen.time.as_millis()
            );
            assert_eq!(seen.code, 4, "{arguments:?}: {}", &seen.said[..seen.said.len().min(2000)]);
            assert!(seen.said.len() < 10_000, "{arguments:?} says {} bytes", seen.said.len());
            assert!(seen.time < Duration::from_secs(10), "{arguments:?}: {:?}", seen.time);
            assert!(above <= 32, "{arguments:?}: {above} MiB above idle");
        }
    };
    for (name, text) in files {
        fs::write(at.join(name), text).unwrap();
        look(name);
    }
    // A text of 4 GiB, most of which is a hole in the file.
    let mut file = File::create(at.join("text.ron")).unwrap();
    file.write_all(b"Graph(format: 1, about: \"").unwrap();
    file.seek(SeekFrom::Start(4 * GIB)).unwrap();
    file.write_all(b"\")").unwrap();
    look("text.ron");
    println!("{table}");
    // As many nodes as may be, in one loop: a mistake like any other.
    fs::write(at.join("cycle.ron"), cycle(10_000)).unwrap();
    let seen = run(at, &["graph", "check", "cycle.ron"]);
    assert_eq!(seen.code, 2, "{}", &seen.said[..seen.said.len().min(2000)]);
    assert!(seen.said.contains("cycle") && seen.time < Duration::from_secs(10), "{:?}", seen.time);
}
