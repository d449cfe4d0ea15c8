//! Prints the faces in binary grey pictures (PGM): `cargo run --release -p upweave-models --example faces -- A.pgm B.pgm`.

use std::time::Instant;

use models::{Grey8, faces};

/// Width, height and values of a binary PGM without comments.
fn read(file: &[u8]) -> Option<(u32, u32, &[u8])> {
    let mut words = file.splitn(5, |byte| byte.is_ascii_whitespace());
    let (magic, width, height, _most) = (words.next()?, words.next()?, words.next()?, words.next()?);
    let number = |word| std::str::from_utf8(word).ok()?.parse().ok();
    (magic == b"P5").then_some((number(width)?, number(height)?, words.next()?))
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let detector = faces()?;
    for path in std::env::args().skip(1) {
        let file = std::fs::read(&path)?;
        let (width, height, pixels) = read(&file).ok_or("not a PGM")?;
        let start = Instant::now();
        let found = detector.find(&Grey8 { width, height, pixels })?;
        println!("{path}: {width}x{height}, {} faces, {:.2} s", found.len(), start.elapsed().as_secs_f64());
        for face in found {
            println!(
                "    {:6.1} {:6.1}  {:6.1} x {:6.1}  {:.2}",
                face.x, face.y, face.width, face.height, face.confidence
            );
        }
    }
    Ok(())
}
