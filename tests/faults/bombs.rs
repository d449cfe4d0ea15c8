//! Small files that want much memory or time: each is refused, or read for what it is worth, in no time and no memory.
//! A suite of the command line, as it runs the program.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod watched;

use flate2::{Compression, write::ZlibEncoder};
use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::Path,
    process::Command,
    time::Duration,
};
use watched::{PROGRAM, Seen, run, watched};

/// What an inflated bomb would hold.
const GIB: u64 = 1 << 30;

/// Runs the program on a stack of 1 MiB, on which whatever follows the nesting of a file by recursion would end soon.
fn run_on_small_stack(folder: &Path, arguments: &[&str]) -> Seen {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -s 1024 && exec \"$0\" \"$@\"", PROGRAM]).args(arguments);
    watched(folder, command)
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

/// Makes a file that claims so many pixels along each edge.
type Header = fn(u32) -> Vec<u8>;

/// By the ending of their names, files of little more than a header that says how many pixels each edge has.
const HEADERS: [(&str, Header); 10] = [
    ("png", |edge| png(edge, edge, 8, &[], &zeros(1000))),
    ("gif", |edge| {
        let mut file = gif(1);
        file[6..10].copy_from_slice(&[(edge as u16).to_le_bytes(); 2].concat());
        file.truncate(file.len() - 30);
        file
    }),
    ("bmp", |edge| {
        let size = edge.to_le_bytes().repeat(2);
        [&b"BM"[..], &[0; 8], &[54, 0, 0, 0, 40, 0, 0, 0], &size, &[1, 0, 24, 0], &[0; 24]].concat()
    }),
    ("ppm", |edge| format!("P6 {edge} {edge} 255\n").into_bytes()),
    ("qoi", |edge| [&b"qoif"[..], &edge.to_be_bytes().repeat(2), &[4, 0]].concat()),
    ("tga", |edge| [&[0, 0, 2][..], &[0; 9], &(edge as u16).to_le_bytes().repeat(2), &[24, 0]].concat()),
    ("hdr", |edge| format!("#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y {edge} +X {edge}\n").into_bytes()),
    ("jpg", |edge| {
        let edge = (edge as u16).to_be_bytes();
        let frame = [&[0xff, 0xd8, 0xff, 0xc0, 0, 11, 8][..], &edge, &edge, &[1, 1, 0x11, 0]].concat();
        [&frame[..], &[0xff, 0xda, 0, 8, 1, 1, 0, 0, 0x3f, 0, 0xff, 0xd9]].concat()
    }),
    ("tif", |edge| {
        let all =
            [(256, edge), (257, edge), (258, 8), (259, 1), (262, 1), (273, 200), (277, 1), (278, edge), (279, 100)];
        let entry = |(tag, value): (u16, u32)| {
            let head = [tag.to_le_bytes(), 4u16.to_le_bytes()].concat();
            [&head[..], &1u32.to_le_bytes(), &value.to_le_bytes()].concat()
        };
        let entries: Vec<u8> = all.into_iter().flat_map(entry).collect();
        [&b"II*\0"[..], &8u32.to_le_bytes(), &9u16.to_le_bytes(), &entries, &[0; 200]].concat()
    }),
    ("webp", |edge| {
        let size = [&(edge - 1).to_le_bytes()[..3], &(edge - 1).to_le_bytes()[..3]].concat();
        let picture = [&b"VP8L"[..], &20u32.to_le_bytes(), &[0x2f, 0xff, 0xff, 0xff, 0x0f], &[0; 15]].concat();
        [&b"RIFF"[..], &100u32.to_le_bytes(), b"WEBPVP8X", &10u32.to_le_bytes(), &[0; 4], &size, &picture].concat()
    }),
];

#[test]
fn pictures_that_are_bombs() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let idle = idle(at);
    let row = |width: u64| width.div_ceil(8) + 1;
    let bomb = zeros(GIB);
    let small = zeros(17 * 16);
    let named = |name: &str, rest: &[u8]| [name.as_bytes(), &[0], rest, &bomb].concat();
    let named_of = |text: &[u8]| [&b"Comment\0\0"[..], text].concat();
    let text = named("Comment", &[0]);
    let profile = named("profile", &[0]);
    let translated = named("Comment", &[1, 0, 0, 0]);
    let xmp = named("XML:com.adobe.xmp", &[1, 0, 0, 0]);
    let mut behind = png(16, 16, 8, &[], &small);
    chunk(&mut behind, b"zTXt", &text);
    let plain = vec![b'x'; 5 << 20];
    let mut files: Vec<(String, Vec<u8>, i32)> = [
        // Beyond the limits, by the header.
        ("one-bit.png", png(31_623, 31_623, 1, &[], &zeros(row(31_623) * 31_623)), 4),
        // More pixels than the header says: what it says is read.
        ("claims-little.png", png(16, 16, 8, &[], &bomb), 0),
        // Animations of more frames than the limit.
        ("frames.png", apng(10_000), 4),
        ("frames.gif", gif(10_000), 4),
        ("frames.webp", webp(10_000), 4),
        ("few-frames.gif", gif(100), 0),
        // Texts and profiles that inflate without end, or are too long as they stand.
        ("ztxt.png", png(16, 16, 8, &[(b"zTXt", &text)], &small), 4),
        ("behind.png", behind, 4),
        ("itxt.png", png(16, 16, 8, &[(b"iTXt", &translated)], &small), 4),
        ("xmp.png", png(16, 16, 8, &[(b"iTXt", &xmp)], &small), 4),
        ("iccp.png", png(16, 16, 8, &[(b"iCCP", &profile)], &small), 4),
        ("text.png", png(16, 16, 8, &[(b"tEXt", &plain)], &small), 4),
        // Each of them within the limit, all of them together far beyond it.
        ("many.png", png(16, 16, 8, &vec![(b"zTXt", &named_of(&zeros(4 << 20))[..]); 1000], &small), 4),
    ]
    .map(|(name, bytes, code)| (name.to_owned(), bytes, code))
    .into();
    // Headers that lie, above the limit of pixels and below it: what they promise never comes.
    for (ending, header) in HEADERS {
        files.push((format!("claims-much.{ending}"), header(65_535), 4));
        files.push((format!("claims-some.{ending}"), header(16_000), 3));
    }
    // What no decoder could count.
    files.push(("claims-all.ppm".to_owned(), b"P6 99999999999 4000000000 255\n".to_vec(), 4));
    files.push(("claims-all.png".to_owned(), png(2_000_000_000, 2_000_000_000, 8, &[], &small), 4));
    let mut table = String::new();
    for (name, bytes, code) in &files {
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
            assert_eq!(seen.code, *code, "{arguments:?}: {}", seen.said);
            assert!(!seen.said.contains("panicked"), "{}", seen.said);
            // A bar against hangs, and against inflating.
            assert!(seen.time < Duration::from_secs(10), "{arguments:?}: {:?}", seen.time);
            // What is read is worked on: by networks, which are to be unpacked.
            let most = if seen.code == 0 { 96 } else { 32 };
            assert!(above <= most, "{arguments:?}: {above} MiB above idle\n{table}");
            if seen.code == 4 {
                assert!(seen.said.contains("limit") && seen.said.contains("hint"), "{}", seen.said);
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
            let seen = run_on_small_stack(at, arguments);
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
    let seen = run_on_small_stack(at, &["graph", "check", "cycle.ron"]);
    assert_eq!(seen.code, 2, "{}", &seen.said[..seen.said.len().min(2000)]);
    assert!(seen.said.contains("cycle") && seen.time < Duration::from_secs(10), "{:?}", seen.time);
}
