//! What a picture holds beside its pixels, and its pixels themselves, on their way through the program.

mod program;

use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageReader, Pixel, codecs::png::PngEncoder};
use program::{started, upweave};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A graph that changes nothing.
const PASS: &str = r#"Graph(format: 1, inputs: {"photo": Image}, outputs: {"photo": "same"}, nodes: {
    "same": Upscale(image: "photo", scale: 1),
})"#;

fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("there is room");
    fs::write(folder.path().join("pass.ron"), PASS).expect("a graph can be written");
    folder
}

/// The public pictures that strange files are taken from.
fn robust() -> Option<PathBuf> {
    let data = std::env::var_os("UPWEAVE_DATA");
    if data.is_none() {
        println!("skipped: UPWEAVE_DATA is not set");
    }
    data.map(|data| PathBuf::from(data).join("robust"))
}

fn passed(folder: &Path, from: &Path, to: &str, more: &[&str]) -> PathBuf {
    let from = from.to_str().expect("a path is text");
    let arguments = ["upscale", from, "--graph", "pass.ron", "-o", to, "--on-exists", "overwrite"];
    upweave(folder, &[&arguments[..], more].concat());
    folder.join(to)
}

fn upright(path: &Path) -> DynamicImage {
    let mut decoder = ImageReader::open(path).and_then(ImageReader::with_guessed_format).expect("it can be read");
    decoder.no_limits();
    let mut decoder = decoder.into_decoder().expect("it is a picture");
    let orientation = decoder.orientation().expect("it has one");
    let mut picture = DynamicImage::from_decoder(decoder).expect("it can be decoded");
    picture.apply_orientation(orientation);
    picture
}

#[test]
fn all_orientations_stand_upright() {
    let Some(robust) = robust() else { return };
    let folder = folder();
    let mut seen = 0;
    for entry in fs::read_dir(robust.join("exif-orientation")).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "jpg") {
            continue;
        }
        for format in ["png", "jpg", "webp", "tif"] {
            let result = passed(folder.path(), &path, &format!("out.{format}"), &["--jpeg-quality", "100"]);
            let mut decoder = ImageReader::open(&result).expect("it is there").into_decoder().expect("it is a picture");
            let orientation = decoder.orientation().expect("it has one");
            assert_eq!(orientation, image::metadata::Orientation::NoTransforms, "{} {format}", path.display());
            let (expected, found) = (upright(&path).to_rgb8(), upright(&result).to_rgb8());
            assert_eq!(expected.dimensions(), found.dimensions(), "{} {format}", path.display());
            let worst = expected.as_raw().iter().zip(found.as_raw()).map(|(a, b)| a.abs_diff(*b)).max();
            assert!(
                worst.is_some_and(|worst| worst <= if format == "jpg" { 12 } else { 0 }),
                "{} {format}: {worst:?}",
                path.display()
            );
        }
        seen += 1;
    }
    assert!(seen >= 9, "{seen}");
}

#[test]
fn every_colour_profile_is_carried() {
    let Some(robust) = robust() else { return };
    let folder = folder();
    let (mut seen, mut left_out) = (0, 0);
    for entry in fs::read_dir(robust.join("icc")).expect("it can be listed") {
        let path = entry.expect("it can be listed").path();
        if path.extension().is_none_or(|extension| extension != "icc") {
            continue;
        }
        let profile = fs::read(&path).expect("it can be read");
        let grey = profile.get(16..20) == Some(b"GRAY");
        let mut bytes = Vec::new();
        let mut encoder = PngEncoder::new(&mut bytes);
        encoder.set_icc_profile(profile.clone()).expect("PNG has profiles");
        let (colour, channels) =
            if grey { (image::ExtendedColorType::L8, 1) } else { (image::ExtendedColorType::Rgb8, 3) };
        encoder.write_image(&[99; 12 * 3][..12 * channels], 4, 3, colour).expect("it can be written");
        fs::write(folder.path().join("in.png"), &bytes).expect("it can be written");
        for format in ["png", "jpg", "webp", "tif"] {
            let result = passed(folder.path(), Path::new("in.png"), &format!("out.{format}"), &[]);
            let mut decoder = ImageReader::open(&result).expect("it is there").into_decoder().expect("it is a picture");
            // WebP holds no grey pictures: theirs would be wrong for the colours that they become. Four inks are no colours.
            let fits = profile.get(16..20) != Some(b"CMYK") && !(grey && format == "webp");
            let expected = Some(profile.clone()).filter(|_| fits);
            let found =
                if format == "tif" { tiff_profile(&result) } else { decoder.icc_profile().expect("it can be asked") };
            assert!(found == expected, "{} in {format}", path.display());
        }
        // JPEG XL is read by the program alone. A profile that its readers would refuse is not written.
        passed(folder.path(), Path::new("in.png"), "out.jxl", &[]);
        let result = passed(folder.path(), Path::new("out.jxl"), "back.png", &[]);
        let mut decoder = ImageReader::open(&result).expect("it is there").into_decoder().expect("it is a picture");
        match decoder.icc_profile().expect("it can be asked") {
            Some(found) => assert!(found == profile, "{} in jxl", path.display()),
            None => left_out += 1,
        }
        seen += 1;
    }
    assert!(seen > 40 && left_out < 8, "{seen}, {left_out} not in JPEG XL");
}

/// The decoder knows the profile of a TIFF file by one of two types only.
fn tiff_profile(path: &Path) -> Option<Vec<u8>> {
    let bytes = fs::read(path).expect("it can be read");
    let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")) as usize;
    let start = word(4);
    let count = usize::from(u16::from_le_bytes(bytes[start..start + 2].try_into().expect("two bytes")));
    let entry = (0..count).map(|i| start + 2 + 12 * i).find(|at| bytes[*at..*at + 2] == 0x8773u16.to_le_bytes())?;
    let (length, at) = (word(entry + 4), word(entry + 8));
    Some(bytes[at..at + length].to_vec())
}

#[test]
fn pixels_pass_untouched_in_8_and_16_bits() {
    let folder = folder();
    let at = folder.path();
    let value = |x: u32, y: u32, c: u32| (x * 4099 + y * 257 + c * 7919) as u16;
    let deep = |c: usize| {
        image::ImageBuffer::from_fn(37, 29, move |x, y| {
            image::Rgba(std::array::from_fn(
                |i| if i < c { value(x, y, i as u32) } else { u16::MAX - value(x, y, 3) / 2 },
            ))
        })
    };
    let rgba16 = DynamicImage::ImageRgba16(deep(3));
    let pictures = [
        ("rgb8", DynamicImage::ImageRgb8(rgba16.to_rgb8())),
        ("rgba8", DynamicImage::ImageRgba8(rgba16.to_rgba8())),
        ("grey8", DynamicImage::ImageLuma8(rgba16.to_luma8())),
        ("rgb16", DynamicImage::ImageRgb16(rgba16.to_rgb16())),
        ("rgba16", rgba16.clone()),
        ("grey16", DynamicImage::ImageLuma16(rgba16.to_luma16())),
    ];
    for (name, picture) in &pictures {
        for (from, to) in [("png", "png"), ("png", "tif"), ("tif", "png"), ("tif", "tif")] {
            let input = format!("{name}.{from}");
            picture.save(at.join(&input)).expect("it can be written");
            let result = passed(at, Path::new(&input), &format!("{name}-out.{to}"), &[]);
            let found = image::open(result).expect("it can be read");
            assert_eq!(found.color(), picture.color(), "{name} {from} {to}");
            assert!(&found == picture, "{name} {from} {to}");
        }
    }
    // In other depths on request.
    let result = passed(at, Path::new("rgb16.png"), "eight.png", &["--depth", "8"]);
    assert_eq!(image::open(result).expect("it can be read").color(), image::ColorType::Rgb8);
    let result = passed(at, Path::new("rgb8.png"), "float.tif", &["--depth", "32"]);
    assert_eq!(image::open(result).expect("it can be read").color(), image::ColorType::Rgb32F);
}

#[test]
fn a_disc_on_nothing_gets_no_rim() {
    let folder = folder();
    let at = folder.path();
    let colour = [220u8, 60, 40];
    for (name, hidden) in [("black", [0u8; 3]), ("white", [255; 3]), ("green", [0, 255, 0])] {
        let disc = image::RgbaImage::from_fn(72, 72, |x, y| {
            let (dx, dy) = (f64::from(x) - 35.5, f64::from(y) - 35.5);
            let inside = dx * dx + dy * dy < 22.0 * 22.0;
            let [r, g, b] = if inside { colour } else { hidden };
            image::Rgba([r, g, b, if inside { 255 } else { 0 }])
        });
        disc.save(at.join("disc.png")).expect("it can be written");
        for graph in ["quick", "dynamic-upscale"] {
            upweave(
                at,
                &["upscale", "disc.png", "--graph", graph, "-o", "out.png", "--on-exists", "overwrite", "--steps", "1"]
                    [..if graph == "quick" { 8 } else { 10 }],
            );
            let found = image::open(at.join("out.png")).expect("it can be read").to_rgba8();
            // On black as on white the share of each colour is off by this much of it.
            let error = |pixel: &image::Rgba<u8>| {
                (0..3)
                    .map(|c| f64::from(pixel[3]) / 255.0 * (f64::from(pixel[c]) - f64::from(colour[c])).abs())
                    .fold(0.0, f64::max)
            };
            let worst = found.pixels().map(error).fold(0.0, f64::max);
            assert!(worst <= if graph == "quick" { 2.0 } else { 3.0 }, "{name} {graph}: {worst}");
        }
    }
}

#[test]
fn texts_go_along_and_tell_how_the_picture_was_made() {
    let folder = folder();
    let at = folder.path();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, 2, 2);
    encoder.add_text_chunk("Title".to_owned(), "Sea".to_owned()).expect("a text can be added");
    encoder.add_ztxt_chunk("Comment".to_owned(), "waves ".repeat(100)).expect("a text can be added");
    encoder.add_itxt_chunk("Author".to_owned(), "Möwe 鷗".to_owned()).expect("a text can be added");
    encoder.write_header().and_then(|mut writer| writer.write_image_data(&[7; 4])).expect("it can be written");
    fs::write(at.join("in.png"), file).expect("it can be written");
    let texts = |name: &str| {
        let file = std::io::BufReader::new(fs::File::open(at.join(name)).expect("it is there"));
        let reader = png::Decoder::new(file).read_info().expect("it can be read");
        let info = reader.info();
        let latin = info.uncompressed_latin1_text.iter().map(|text| (text.keyword.clone(), text.text.clone()));
        let other = info.utf8_text.iter().map(|text| (text.keyword.clone(), text.get_text().expect("a text")));
        latin.chain(other).collect::<Vec<(String, String)>>()
    };
    passed(at, Path::new("in.png"), "out.png", &[]);
    let found = texts("out.png");
    let text = |name: &str| found.iter().find(|(keyword, _)| keyword == name).map(|(_, text)| text.as_str());
    assert_eq!(text("Title"), Some("Sea"));
    assert_eq!(text("Comment"), Some(&*"waves ".repeat(100)));
    assert_eq!(text("Author"), Some("Möwe 鷗"));
    assert!(text("parameters").is_some_and(|line| line.contains("\nSteps: 1, Sampler: Upweave, Seed: 0")), "{found:?}");
    // Made once more: how the first was made stays where it is looked for.
    passed(at, Path::new("out.png"), "again.png", &[]);
    let found = texts("again.png");
    assert_eq!(found.iter().filter(|(keyword, _)| keyword == "parameters").count(), 1);
    assert_eq!(found.iter().filter(|(keyword, _)| keyword == "postprocessing").count(), 1);
    passed(at, Path::new("in.png"), "bare.png", &["--strip-metadata"]);
    assert_eq!(texts("bare.png"), []);
}

#[test]
fn every_format_with_a_place_for_it_holds_the_recipe() {
    let folder = folder();
    let at = folder.path();
    let picture = image::RgbImage::from_fn(20, 20, |x, y| image::Rgb([(x * 9) as u8, (y * 11) as u8, 77]));
    picture.save(at.join("in.png")).expect("it can be written");
    for format in ["png", "jpg", "webp", "jxl", "tif"] {
        let (first, again) = (format!("first.{format}"), format!("again.{format}"));
        let options = ["--progressive", "--jpeg-quality", "80", "--set", "tile=32"];
        upweave(at, &[&["upscale", "in.png", "--graph", "quick", "-o", &first][..], &options].concat());
        upweave(at, &["run", &first, "in.png", "-o", &again]);
        let bytes = |name: &str| fs::read(at.join(name)).expect("it can be read");
        assert!(bytes(&first) == bytes(&again), "{format}");
        let told = Command::new(env!("CARGO_BIN_EXE_upweave"))
            .args(["inspect", &first])
            .current_dir(at)
            .output()
            .expect("the program starts");
        let told = String::from_utf8_lossy(&told.stdout).into_owned();
        assert!(told.contains("graph") && told.contains("quick.ron") && told.contains("80"), "{told}");
    }
}

#[test]
fn cmyk_and_animations_are_told_of() {
    let Some(robust) = robust() else { return };
    let folder = folder();
    for (file, word) in [
        ("pillow/pil_sample_cmyk.jpg", "CMYK"),
        ("image-rs/gif/anim/large-gif-anim-full-frame-replace.gif", "--frames"),
    ] {
        let path = robust.join(file);
        if !path.exists() {
            println!("{file} is not among the pictures");
            continue;
        }
        let from = path.to_str().expect("a path is text");
        let output = upweave(
            folder.path(),
            &["upscale", from, "--graph", "pass.ron", "-o", "out.png", "--on-exists", "overwrite"],
        );
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(told.contains(word), "{told}");
    }
}

/// A file of three pictures in the colours red, green and blue, each of the last two on what was before.
fn three(format: &str, path: &Path) {
    let colour = |n: usize| std::array::from_fn::<u8, 3, _>(|channel| if channel == n { 255 } else { 0 });
    let frame = |n| image::RgbaImage::from_pixel(8, 6, image::Rgb(colour(n)).to_rgba());
    let file = fs::File::create(path).expect("it can be written");
    match format {
        "gif" => {
            let mut encoder = image::codecs::gif::GifEncoder::new(file);
            (0..3).for_each(|n| encoder.encode_frame(image::Frame::new(frame(n))).expect("it can be written"));
        }
        "png" => {
            let mut encoder = png::Encoder::new(file, 8, 6);
            encoder.set_color(png::ColorType::Rgb);
            encoder.set_animated(3, 0).expect("it can move");
            let mut writer = encoder.write_header().expect("it can be written");
            (0..3).for_each(|n| writer.write_image_data(&colour(n).repeat(48)).expect("it can be written"));
            writer.finish().expect("it can be written");
        }
        _ => {
            let mut encoder = tiff::encoder::TiffEncoder::new(file).expect("it can be written");
            for n in 0..3 {
                let page = colour(n).repeat(48 << (2 * n));
                let (width, height) = (8 << n, 6 << n);
                encoder.write_image::<tiff::encoder::colortype::RGB8>(width, height, &page).expect("it can be written");
            }
        }
    }
}

#[test]
fn all_frames_and_pages_are_made() {
    for format in ["gif", "png", "tif"] {
        let folder = folder();
        let at = folder.path();
        three(format, &at.join(format!("a.{format}")));
        let name = format!("a.{format}");
        let told = upweave(at, &["upscale", &name, "--graph", "pass.ron", "-o", "first.png"]);
        assert!(String::from_utf8_lossy(&told.stderr).contains("holds 3 pictures"), "{format}");
        let all = ["upscale", &name, "--graph", "pass.ron", "-o", "out/", "--frames"];
        upweave(at, &all);
        for n in 0..3usize {
            let made = image::open(at.join(format!("out/a.x1.f000{}.png", n + 1))).expect("it is there").to_rgba8();
            let seen = made.get_pixel(4, 3).to_rgb().0;
            assert!((0..3).all(|channel| (seen[channel] > 128) == (channel == n)), "{format} {n}: {seen:?}");
            let edge = if format == "tif" { 8 << n } else { 8 };
            assert_eq!(made.width(), edge, "{format}");
        }
        // Once more there is nothing to do; one alone can have any name.
        let told = upweave(at, &all);
        assert!(String::from_utf8_lossy(&told.stderr).contains("all 3 pictures are there already"), "{told:?}");
        upweave(at, &["upscale", &name, "--graph", "pass.ron", "-o", "one.png", "--frames=2"]);
        let bytes = |name: &str| fs::read(at.join(name)).expect("it can be read");
        assert!(bytes("one.png") == bytes("out/a.x1.f0002.png"));
        upweave(at, &["run", "one.png", &name, "--frames=2", "-o", "again.png"]);
        assert!(bytes("one.png") == bytes("again.png"));
        let told = started(at, &["upscale", &name, "--graph", "pass.ron", "-o", "none.png", "--frames=7"]);
        let message = String::from_utf8_lossy(&told.stderr).into_owned();
        assert!(told.status.code() == Some(3) && message.contains("has no frame 7: there are 3 frames"), "{message}");
    }
}

#[test]
fn webp_may_lose_a_little() {
    let folder = folder();
    let at = folder.path();
    let picture = image::RgbaImage::from_fn(80, 60, |x, y| {
        let wave = ((x as f32 / 9.0).sin() * 60.0 + (y as f32 / 7.0).cos() * 50.0) as i32;
        image::Rgba([(128 + wave) as u8, (120 - wave / 2) as u8, (x * 2) as u8, (255 - y * 3) as u8])
    });
    picture.save(at.join("in.png")).expect("it can be written");
    let made = |name: &str, more: &[&str]| {
        passed(at, Path::new("in.png"), name, more);
        let bytes = fs::read(at.join(name)).expect("it can be read");
        (bytes.len(), image::load_from_memory(&bytes).expect("it is a picture").to_rgba8())
    };
    let (whole, same) = made("whole.webp", &[]);
    assert_eq!(same, picture, "nothing is lost unless it is asked for");
    let mut last = 0;
    for quality in ["20", "60", "95"] {
        let (bytes, lossy) = made("lossy.webp", &["--webp-quality", quality]);
        assert!(last < bytes && bytes < whole, "{quality}: {bytes} of {whole}");
        last = bytes;
        assert!(lossy.pixels().zip(picture.pixels()).all(|(a, b)| a.0[3] == b.0[3]), "alpha is not touched");
        let error: u64 =
            lossy.as_raw().iter().zip(picture.as_raw()).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum();
        let mean = error as f64 / (80.0 * 60.0 * 3.0);
        assert!(mean < if quality == "95" { 12.0 } else { 400.0 }, "{quality}: {mean}");
    }
    // What has no effect is told of.
    let told = started(at, &["upscale", "in.png", "--graph", "pass.ron", "-o", "b.png", "--webp-quality", "50"]);
    assert!(String::from_utf8_lossy(&told.stderr).contains("`--webp-quality` changes nothing about .png files"));
}
