//! Files of every kind, there and back; broken ones; and the public collection of odd files.

use super::*;
use crate::{
    limits::Profile,
    load::Load,
    save::{Depth, Save},
    testing,
};
use engine::{
    In, Node,
    filesystem::OsFilesystem,
    value::{Metadata, SampleDepth, Value},
};
use std::{
    fs,
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

/// A profile as far as anything here looks at it.
fn profile(space: &[u8; 4]) -> Vec<u8> {
    let mut icc = vec![7; 128];
    icc[..4].copy_from_slice(&128u32.to_be_bytes());
    icc[16..20].copy_from_slice(space);
    icc[64..68].fill(0);
    icc
}

/// EXIF with nothing but an orientation.
fn exif(orientation: u8) -> Vec<u8> {
    let mut block = b"II\x2a\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0".to_vec();
    block.extend([orientation, 0, 0, 0, 0, 0, 0, 0]);
    block
}

fn save(image: &Image, path: &Path, change: impl FnOnce(&mut Save)) -> NodeResult<String> {
    let mut node = Save { image: In::from("picture"), path: path.to_string_lossy().into_owned(), ..Save::default() };
    change(&mut node);
    assert!(node.check().is_empty());
    let made = testing::run(&node, &[("picture", Value::Image(Arc::new(image.clone())))])?;
    let path = node.publish(&made, &OsFilesystem)?.expect("a file was written");
    Ok(path.to_string_lossy().into_owned())
}

fn load(path: &Path) -> NodeResult<Arc<Image>> {
    let node = Load { path: path.to_string_lossy().into_owned(), ..Load::default() };
    match testing::run(&node, &[])?.remove(0) {
        Value::Image(image) => Ok(image),
        other => panic!("{other:?}"),
    }
}

fn worst(a: &Image, b: &Image) -> f32 {
    assert_eq!((a.size(), a.channels()), (b.size(), b.channels()));
    a.samples().iter().zip(b.samples()).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

fn with_metadata(mut image: Image, change: impl FnOnce(&mut Metadata)) -> Image {
    change(Arc::make_mut(&mut image.metadata));
    image
}

#[test]
fn every_format_goes_there_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::new(37, 21);
    // Ending, whether alpha stays, largest error.
    let eight = 0.5 / 255.0 + 1e-6;
    let formats = [
        ("png", true, eight),
        ("jpg", false, 0.08),
        ("webp", true, eight),
        ("jxl", true, eight),
        ("tif", true, eight),
        ("bmp", true, eight),
        ("tga", true, eight),
        ("qoi", true, eight),
        ("ppm", false, eight),
        ("exr", true, 1e-3),
        ("hdr", false, 0.05),
    ];
    for (ending, alpha, error) in formats {
        for channels in [3, 4] {
            let path = folder.path().join(format!("{channels}.{ending}"));
            let mut picture = testing::waves(size, channels);
            if channels == 4 {
                // Nearly opaque, so that 8 bits of multiplied colours suffice.
                picture.plane_mut(3).iter_mut().for_each(|v| *v = 0.75 + 0.25 * *v);
            }
            save(&picture, &path, |node| node.quality = 97).unwrap();
            let back = load(&path).unwrap();
            if channels == 4 && !alpha {
                assert_eq!(back.channels(), 3, "{ending}");
                let i = 200;
                let on_white = picture.plane(0)[i] * picture.plane(3)[i] + 1.0 - picture.plane(3)[i];
                assert!((back.plane(0)[i] - on_white).abs() < error + 0.05, "{ending} is laid on white");
            } else {
                let worst = worst(&picture, &back);
                assert!(worst <= error, "{ending} {channels}: {worst}");
            }
            let header = probe(&path.to_string_lossy(), &Limits::LOCAL).unwrap();
            assert_eq!((header.size, header.channels), (size, back.channels()), "{ending}");
        }
    }
}

#[test]
fn sixteen_bits_and_grey_stay() {
    let folder = tempfile::tempdir().unwrap();
    for (ending, sixteen) in
        [("png", true), ("tif", true), ("jxl", true), ("pgm", true), ("jpg", false), ("webp", false)]
    {
        for grey in [false, true] {
            let mut picture = testing::waves(Size::new(20, 13), 3);
            if grey {
                let luma = picture.plane(1).to_vec();
                picture.samples_mut().copy_from_slice(&luma.repeat(3));
            }
            let picture = with_metadata(picture, |m| (m.grey, m.depth) = (grey, SampleDepth::Sixteen));
            let path = folder.path().join(format!("{grey}.{ending}"));
            save(&picture, &path, |_| {}).unwrap();
            let back = load(&path).unwrap();
            if ending != "webp" {
                assert_eq!(back.metadata.grey, grey, "{ending}");
            }
            if sixteen {
                assert_eq!(back.metadata.depth, SampleDepth::Sixteen, "{ending}");
                assert!(worst(&picture, &back) <= 0.5 / 65_535.0 + 1e-6, "{ending}");
            }
            save(&picture, &path, |node| node.depth = Depth::Eight).unwrap();
            assert_eq!(load(&path).unwrap().metadata.depth, SampleDepth::Eight, "{ending}");
        }
    }
}

#[test]
fn jpeg_xl_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.jxl");
    // More than one group of 256 pixels, and all ways to lie in it.
    for (size, channels) in [(2, 2), (300, 3), (3, 300), (300, 270)].into_iter().flat_map(|size| [(size, 3), (size, 4)])
    {
        for (depth, steps) in [(SampleDepth::Eight, 255.0), (SampleDepth::Sixteen, 65_535.0)] {
            for grey in [false, true] {
                let mut picture = testing::noise(Size::new(size.0, size.1), channels);
                picture.samples_mut().iter_mut().for_each(|v| *v = (*v * steps).round() / steps);
                if grey {
                    let luma = picture.plane(0).to_vec();
                    picture.samples_mut()[..3 * luma.len()].copy_from_slice(&luma.repeat(3));
                }
                let picture = with_metadata(picture, |m| (m.grey, m.depth) = (grey, depth));
                save(&picture, &path, |_| {}).unwrap();
                let back = load(&path).unwrap();
                assert_eq!((back.channels(), back.metadata.depth), (channels, depth));
                assert!(worst(&picture, &back) < 0.1 / steps, "{size:?} {channels} {depth:?} {grey}");
            }
        }
    }
    let failure = save(&testing::noise(Size::new(1, 9), 3), &path, |_| {}).unwrap_err();
    assert!(failure.message.contains("too small for JPEG XL"), "{failure}");
}

#[test]
fn metadata_travels() {
    let folder = tempfile::tempdir().unwrap();
    let picture = with_metadata(testing::waves(Size::new(16, 9), 3), |m| {
        m.icc = Some(profile(b"RGB "));
        m.exif = Some(exif(1));
        m.xmp = Some(b"<x:xmpmeta/>".to_vec());
        m.dpi = Some((300.0, 150.0));
    });
    for (ending, has_exif, has_xmp) in
        [("png", true, true), ("jpg", true, true), ("webp", true, false), ("jxl", true, false), ("tif", false, false)]
    {
        let path = folder.path().join(format!("a.{ending}"));
        save(&picture, &path, |_| {}).unwrap();
        let back = load(&path).unwrap();
        assert_eq!(back.metadata.icc, picture.metadata.icc, "{ending}");
        if has_exif {
            assert_eq!(back.metadata.exif, picture.metadata.exif, "{ending}");
        }
        if has_xmp {
            assert_eq!(back.metadata.xmp, picture.metadata.xmp, "{ending}");
            let (x, y) = back.metadata.dpi.unwrap();
            assert!((x - 300.0).abs() < 0.5 && (y - 150.0).abs() < 0.5, "{ending}: {x} {y}");
        }
        save(&picture, &path, |node| node.strip_metadata = true).unwrap();
        let bare = load(&path).unwrap();
        assert_eq!((&bare.metadata.icc, &bare.metadata.exif, &bare.metadata.xmp), (&None, &None, &None), "{ending}");
    }
    // Grey with a profile for grey keeps it; a profile of the other kind is not written.
    let grey = with_metadata(Image::filled(Size::new(4, 4), &[0.5; 3]), |m| {
        m.grey = true;
        m.icc = Some(profile(b"GRAY"));
    });
    let path = folder.path().join("grey.png");
    save(&grey, &path, |_| {}).unwrap();
    assert_eq!(load(&path).unwrap().metadata.icc, grey.metadata.icc);
}

#[test]
fn the_recipe_is_found_again() {
    let folder = tempfile::tempdir().unwrap();
    let picture = testing::waves(Size::new(8, 8), 3);
    for ending in ["png", "jpg"] {
        let path = folder.path().join(format!("a.{ending}"));
        save(&picture, &path, |node| node.recipe = Some("Graph(seed: 7) // ü".into())).unwrap();
        let found = recipe(&path.to_string_lossy(), &Limits::LOCAL).unwrap();
        assert_eq!(found.as_deref(), Some("Graph(seed: 7) // ü"), "{ending}");
        save(&picture, &path, |_| {}).unwrap();
        assert_eq!(recipe(&path.to_string_lossy(), &Limits::LOCAL).unwrap(), None);
    }
}

#[test]
fn orientation_is_applied_once() {
    let folder = tempfile::tempdir().unwrap();
    let picture = testing::waves(Size::new(5, 3), 3);
    // Which pixel of the file comes first in the upright picture, by the EXIF standard.
    let first = [(0, 0), (4, 0), (4, 2), (0, 2), (0, 0), (0, 2), (4, 2), (4, 0)];
    for (orientation, (x, y)) in (1..=8).zip(first) {
        let path = folder.path().join("a.png");
        save(&with_metadata(picture.clone(), |m| m.exif = Some(exif(orientation))), &path, |_| {}).unwrap();
        let back = load(&path).unwrap();
        let size = if orientation >= 5 { Size::new(3, 5) } else { Size::new(5, 3) };
        assert_eq!(back.size(), size);
        assert_eq!(probe(&path.to_string_lossy(), &Limits::LOCAL).unwrap().size, size);
        assert!((back.plane(1)[0] - picture.plane(1)[y * 5 + x]).abs() < 0.003, "orientation {orientation}");
        assert_eq!(back.metadata.exif, Some(exif(1)), "orientation {orientation}");
        save(&back, &path, |_| {}).unwrap();
        assert_eq!(load(&path).unwrap().size(), size, "turned once only");
    }
}

#[test]
fn odd_samples_and_sizes_are_written() {
    let folder = tempfile::tempdir().unwrap();
    for (w, h) in [(1, 1), (20_000, 1), (1, 3000)] {
        for ending in ["png", "jpg", "tif", "exr"] {
            let mut picture = testing::noise(Size::new(w, h), 3);
            picture.samples_mut()[0] = f32::NAN;
            *picture.samples_mut().last_mut().unwrap() = f32::INFINITY;
            let path = folder.path().join(format!("a.{ending}"));
            save(&picture, &path, |_| {}).unwrap();
            let back = load(&path).unwrap();
            assert!(back.samples().iter().all(|v| (0.0..=1.0).contains(v)), "{ending}");
        }
    }
    let wide = Image::filled(Size::new(70_000, 1), &[0.5; 3]);
    let failure = save(&wide, &folder.path().join("a.jpg"), |_| {}).unwrap_err();
    assert!(failure.message.contains("65535"), "{}", failure.message);
    let png: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert!(png.iter().all(|name| !name.to_string_lossy().contains("part")), "{png:?}");
}

#[test]
fn bad_files_have_one_clear_message() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("empty.png"), "").unwrap();
    fs::write(at("text.png"), "hello, this is no picture").unwrap();
    fs::write(at("movie.avif"), b"\0\0\0\x20ftypavif\0\0\0\0avifmif1").unwrap();
    let picture = testing::noise(Size::new(64, 64), 3);
    for ending in ["png", "jpg", "webp", "tif", "bmp", "qoi", "ppm"] {
        let path = at(&format!("whole.{ending}"));
        save(&picture, &path, |_| {}).unwrap();
        let bytes = fs::read(&path).unwrap();
        fs::write(at(&format!("cut.{ending}")), &bytes[..bytes.len() * 2 / 3]).unwrap();
    }
    let expect = |name: &str, part: &str| {
        let failure = load(&at(name)).map(|image| image.size()).unwrap_err();
        assert_eq!(failure.blame, Blame::Input, "{name}: {}", failure.message);
        assert!(failure.message.contains(part), "{name}: {}", failure.message);
        assert!(!failure.message.ends_with('.'), "{name}: {}", failure.message);
    };
    expect("missing.png", "no such file");
    expect("no/such/folder.png", "there is no folder");
    expect("empty.png", "is empty");
    expect("text.png", "is not a picture");
    expect("movie.avif", "no still picture");
    expect("", "is a folder");
    for ending in ["png", "jpg", "webp", "tif", "bmp", "qoi", "ppm"] {
        let failure = load(&at(&format!("cut.{ending}"))).map(|image| image.size()).unwrap_err();
        assert_eq!(failure.blame, Blame::Input, "{ending}: {}", failure.message);
        println!("cut.{ending}: {}", failure.message);
    }
    // The content tells the format, not the name.
    fs::copy(at("whole.jpg"), at("really-jpeg.png")).unwrap();
    assert!(load(&at("really-jpeg.png")).is_ok());
}

#[test]
fn limits_hold_before_any_memory_is_spent() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bomb.png");
    // A header of 31623 x 31623 pixels of one bit, and next to nothing behind it.
    let mut out = Vec::new();
    let mut encoder = ::png::Encoder::new(&mut out, 31_623, 31_623);
    encoder.set_color(::png::ColorType::Grayscale);
    encoder.set_depth(::png::BitDepth::One);
    drop(encoder.write_header().unwrap());
    // The writer ends the file as it goes: put an empty stretch of pixels in.
    let end = out.len() - 12;
    out.splice(end..end, [0, 0, 0, 0, b'I', b'D', b'A', b'T', 0x35, 0xAF, 0x06, 0x1E]);
    fs::write(&path, &out).unwrap();
    let started = Instant::now();
    let failure = load(&path).map(|image| image.size()).unwrap_err();
    assert_eq!(failure.blame, Blame::Limit, "{}", failure.message);
    assert!(failure.hint.unwrap().contains("--max-input-pixels"));
    assert!(started.elapsed() < Duration::from_secs(1));

    let picture = testing::noise(Size::new(64, 64), 3);
    let path = folder.path().join("a.png");
    save(&picture, &path, |_| {}).unwrap();
    let tight = Limits { file_bytes: Some(100), ..Limits::LOCAL };
    let name = path.to_string_lossy();
    for failure in [read(&name, &tight, 0).map(drop), digest(&name, &tight).map(drop), probe(&name, &tight).map(drop)] {
        assert!(failure.unwrap_err().hint.unwrap().contains("--max-file-bytes"));
    }
    let tight = Limits { input_pixels: Some(100), ..Profile::Server.limits() };
    assert_eq!(read(&name, &tight, 0).unwrap_err().blame, Blame::Limit);
}

#[test]
fn metadata_bombs_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let picture = with_metadata(testing::noise(Size::new(8, 8), 3), |m| {
        // 64 MiB that deflate to next to nothing.
        let mut icc = profile(b"RGB ");
        icc.resize(64 << 20, 0);
        m.icc = Some(icc);
    });
    let path = folder.path().join("a.png");
    save(&picture, &path, |_| {}).unwrap();
    assert!(fs::metadata(&path).unwrap().len() < 4 << 20);
    let failure = load(&path).unwrap_err();
    assert_eq!(failure.blame, Blame::Limit, "{failure}");
    assert!(failure.message.contains("iCCP") && failure.hint.unwrap().contains("--max-metadata-bytes"));
    // Who wants it gets it.
    let allowed = Limits { metadata_bytes: Some(64 << 20), ..Limits::LOCAL };
    let back = read(&path.to_string_lossy(), &allowed, 0).unwrap();
    assert_eq!(back.metadata.icc, picture.metadata.icc);
    assert!(worst(&picture, &back) < 0.01);
}

#[test]
fn the_digest_follows_the_content() {
    let folder = tempfile::tempdir().unwrap();
    let digest_of = |name: &str, edge: u32| {
        let path = folder.path().join(name);
        save(&testing::noise(Size::new(edge, 8), 3), &path, |_| {}).unwrap();
        Load { path: path.to_string_lossy().into_owned(), ..Load::default() }.outside().unwrap()
    };
    assert_eq!(digest_of("a.png", 1), digest_of("b.png", 1));
    assert_ne!(digest_of("a.png", 1), digest_of("a.png", 2));
    // What is no picture is refused here, before anything runs.
    let text = folder.path().join("text.png");
    fs::write(&text, "no picture").unwrap();
    assert!(Load { path: text.to_string_lossy().into_owned(), ..Load::default() }.outside().is_err());
    assert!(Load { path: "/no/such/file".into(), ..Load::default() }.outside().is_err());
}

fn all_files(folder: PathBuf, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
        if entry.file_type().unwrap().is_dir() {
            all_files(entry.path(), found);
        } else {
            found.push(entry.path());
        }
    }
}

/// Peak memory of this process in MiB, where the system tells.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).map_or(0, |kib| kib / 1024)
}

#[test]
fn odd_files_decode_or_fail_cleanly() {
    #[expect(clippy::disallowed_methods, reason = "tests find public files through the environment")]
    let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
        println!("skipped: UPWEAVE_DATA is not set");
        return;
    };
    let mut files = Vec::new();
    all_files(PathBuf::from(data).join("robust"), &mut files);
    files.sort();
    assert!(files.len() > 100, "the collection is not complete");
    let (mut good, mut bad) = (0, 0);
    for file in &files {
        let name = file.to_string_lossy();
        let (before, started) = (peak(), Instant::now());
        let header = probe(&name, &Limits::SERVER);
        match read(&name, &Limits::SERVER, 0) {
            Ok(image) => {
                good += 1;
                let header = header.unwrap_or_else(|failure| panic!("{name} is read but not probed: {failure}"));
                assert_eq!((header.size, header.channels), (image.size(), image.channels()), "{name}");
                assert!(image.samples().iter().all(|v| (0.0..=1.0).contains(v)), "{name} leaves 0 to 1");
                for frame in [1, header.frames].into_iter().filter(|_| header.frames > 1) {
                    let told = probe_frame(&name, &Limits::SERVER, frame).unwrap();
                    match read(&name, &Limits::SERVER, frame) {
                        Ok(image) => assert_eq!((told.size, told.channels), (image.size(), image.channels()), "{name}"),
                        Err(failure) => assert!(matches!(failure.blame, Blame::Input), "{name}: {failure}"),
                    }
                }
            }
            Err(failure) => {
                bad += 1;
                assert!(matches!(failure.blame, Blame::Input | Blame::Limit), "{name}: {failure}");
                assert!(!failure.message.ends_with('.'), "{failure}");
                println!("{failure}");
            }
        }
        let grown = peak() - before;
        assert!(grown < 1200, "{name} took {grown} MiB");
        assert!(started.elapsed() < Duration::from_secs(30), "{name} took {:?}", started.elapsed());
    }
    println!("{good} files decoded, {bad} refused, {} MiB at most", peak());
    assert!(good > files.len() / 5);
}
