//! Colours under what is fully transparent: files hold anything there, and a network that sees it draws a rim.

use engine::value::Image;

/// So far colours are spread, in pixels.
const REACH: u32 = 16;

/// How far a picture with so many channels is looked at for it.
pub(crate) fn reach(channels: usize) -> u32 {
    if channels == 4 { REACH } else { 0 }
}

/// The colour planes `rgb` of a picture, with visible colours spread into what is transparent, ring by ring; nothing when
/// no pixel is transparent.
pub(crate) fn colours(image: &Image, rgb: &[f32]) -> Option<Vec<f32>> {
    let alpha = image.alpha()?;
    let (width, height) = (image.size().width as usize, image.size().height as usize);
    let mut filled: Vec<bool> = alpha.iter().map(|a| *a > 0.0).collect();
    if filled.iter().all(|filled| *filled) {
        return None;
    }
    let around = |i: usize| {
        let (x, y) = (i % width, i / width);
        let columns = x.saturating_sub(1)..(x + 2).min(width);
        (y.saturating_sub(1)..(y + 2).min(height)).flat_map(move |y| columns.clone().map(move |x| y * width + x))
    };
    let n = image.size().pixels();
    let mut rgb = rgb.to_vec();
    let mut edge: Vec<usize> = (0..n).filter(|i| filled[*i]).collect();
    for _ in 0..REACH {
        let mut ring: Vec<usize> = edge.iter().flat_map(|i| around(*i)).filter(|i| !filled[*i]).collect();
        ring.sort_unstable();
        ring.dedup();
        if ring.is_empty() {
            break;
        }
        for i in &ring {
            for plane in rgb.chunks_exact_mut(n) {
                let (sum, count) = around(*i)
                    .filter(|near| filled[*near])
                    .fold((0.0, 0.0), |(sum, count), near| (sum + plane[near], count + 1.0));
                plane[*i] = sum / f32::max(count, 1.0);
            }
        }
        ring.iter().for_each(|i| filled[*i] = true);
        edge = ring;
    }
    Some(rgb)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Size;
    use std::sync::Arc;

    #[test]
    fn visible_colours_reach_into_what_is_hidden_and_no_further() {
        let size = Size::new(40, 1);
        let mut samples = vec![0.0; 160];
        for plane in 0..3 {
            samples[plane * 40] = 0.5 + 0.1 * plane as f32;
        }
        samples[120] = 1.0;
        let picture = Image::new(size, 4, samples, Arc::default());
        let rgb = colours(&picture, picture.rgb()).expect("something is hidden");
        let reach = REACH as usize;
        for plane in 0..3 {
            let row = &rgb[plane * 40..][..40];
            assert!(row[..=reach].iter().all(|v| (v - 0.5 - 0.1 * plane as f32).abs() < 1e-6), "{row:?}");
            assert!(row[reach + 1..].iter().all(|v| *v == 0.0), "{row:?}");
        }
        for visible in [&[0.0, 0.0, 0.0, 0.5][..], &[0.0; 3]] {
            let picture = Image::filled(size, visible);
            assert!(colours(&picture, picture.rgb()).is_none());
        }
    }
}
