//! Colours that are multiplied by alpha in the file.

use image::ColorType;

/// Divides colours by alpha.
pub(super) fn straighten(pixels: &mut [u8], colour: ColorType) {
    let channels = usize::from(colour.channel_count());
    let width = usize::from(colour.bytes_per_pixel()) / channels;
    for pixel in pixels.chunks_exact_mut(channels * width) {
        let (colours, alpha) = pixel.split_at_mut((channels - 1) * width);
        for sample in colours.chunks_exact_mut(width) {
            match (&mut *sample, &*alpha) {
                ([v], [a]) => *v = (f32::from(*v) * 255.0 / f32::from(*a).max(1.0)).round().min(255.0) as u8,
                ([v0, v1], [a0, a1]) => {
                    let alpha = f32::from(u16::from_ne_bytes([*a0, *a1])).max(1.0);
                    let v = f32::from(u16::from_ne_bytes([*v0, *v1])) * 65_535.0 / alpha;
                    [*v0, *v1] = (v.round().min(65_535.0) as u16).to_ne_bytes();
                }
                ([b0, b1, b2, b3], [a0, a1, a2, a3]) => {
                    let alpha = f32::from_ne_bytes([*a0, *a1, *a2, *a3]);
                    let v = f32::from_ne_bytes([*b0, *b1, *b2, *b3]);
                    [*b0, *b1, *b2, *b3] = (if alpha > 0.0 { v / alpha } else { v }).to_ne_bytes();
                }
                _ => {}
            }
        }
    }
}
