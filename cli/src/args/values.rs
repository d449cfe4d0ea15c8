//! Values in the forms in which they are typed.

use super::machine::Gpu;
use std::time::Duration;

/// A time in seconds.
pub(super) fn seconds(text: &str) -> Result<Duration, String> {
    match text.trim_end_matches('s').parse::<f64>() {
        Ok(number) if (0.0..=86_400.0).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("takes a number of seconds, at most a day".to_owned()),
    }
}

/// Four whole numbers.
pub(super) fn rectangle(text: &str) -> Result<engine::value::Rect, String> {
    let numbers: Option<Vec<u32>> = text.split(',').map(|number| number.trim().parse().ok()).collect();
    match numbers.as_deref() {
        Some(&[x, y, width, height]) => Ok(engine::value::Rect { x, y, width, height }),
        _ => Err("a part is left edge, upper edge, width and height: 100,50,512,384".to_owned()),
    }
}

/// A number of bytes: 512MiB, 1.5G, 1000000.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let factor = match text[digits.len()..].to_ascii_lowercase().trim_end_matches('b').trim_end_matches('i') {
        "" => 1u64,
        "k" => 1 << 10,
        "m" => 1 << 20,
        "g" => 1 << 30,
        "t" => 1 << 40,
        _ => 0,
    };
    match digits.trim().parse::<f64>() {
        Ok(number) if factor > 0 && number >= 0.0 && number * (factor as f64) < 1e18 => {
            Ok((number * factor as f64) as u64)
        }
        _ => Err("a size is a number with MiB, GiB or TiB behind it".to_owned()),
    }
}

/// A graphics processor.
pub(super) fn gpu(text: &str) -> Result<Gpu, String> {
    match text {
        "auto" => Ok(Gpu::Auto),
        "-1" => Ok(Gpu::None),
        number => number.parse().map(Gpu::Number).map_err(|_| "takes a number from 0 on, -1 or auto".to_owned()),
    }
}

/// A number from `LOW` to `HIGH`. NaN is not a number.
pub(super) fn within<const LOW: i32, const HIGH: i32>(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if (f64::from(LOW)..=f64::from(HIGH)).contains(&number) => Ok(number),
        _ => Err(format!("takes a number from {LOW} to {HIGH}")),
    }
}

pub(super) fn assignment(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok((name.trim().to_owned(), value.trim().to_owned()))
        }
        _ => Err("write it as name=value, or node.parameter=value".to_owned()),
    }
}

/// `N`, or `LOAD:WORK:SAVE` as realesrgan-ncnn has it.
pub(super) fn threads(text: &str) -> Result<usize, String> {
    let parts: Vec<&str> = text.split(':').collect();
    let work = match parts[..] {
        [one] => one,
        [_, work, _] if parts.iter().all(|part| part.parse::<usize>().is_ok()) => {
            work.split(',').next().unwrap_or(work)
        }
        _ => "",
    };
    match work.parse() {
        Ok(threads @ 1..=1024) => Ok(threads),
        _ => Err("takes a number of threads from 1 to 1024, or LOAD:WORK:SAVE".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_are_none_are_refused() {
        for text in ["NaN", "inf", "-inf", "1.01", "-0.1", "x", ""] {
            assert!(within::<0, 1>(text).is_err(), "{text}");
        }
        assert_eq!(within::<0, 1>("0.25"), Ok(0.25));
    }

    #[test]
    fn threads_in_both_forms() {
        assert_eq!(threads("2"), Ok(2));
        assert_eq!(threads("1:4:2"), Ok(4));
        for text in ["0", "1:2", "a", "1:x:2", ""] {
            assert!(threads(text).is_err(), "{text}");
        }
    }
}
