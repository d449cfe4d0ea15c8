use crate::pixel::{
    resample::Filter,
    room,
    stretch::{self, Window},
    unit,
};
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Reach, Scalar, Shape, Shapes,
    value::{Field, Guide as Controls, Image, Mask, Rect, Region, Regions, Size, Type},
};
use rayon::prelude::*;
use std::sync::Arc;

/// Creativity and detail keep this share where a small face or hand is.
const KEPT: f32 = 0.15;
/// Resemblance is at least this where a small face or hand is.
const STRICT: f32 = 0.9;
/// A box is protected fully; the protection fades to nothing where the box, grown by this share, ends.
const GROWN: f32 = 0.3;
/// Things that are larger than `small` by this factor are not protected at all; in between the protection fades.
const LARGE: f32 = 1.5;

engine::node! {
    /// Turns the controls into three maps over a picture: creativity, resemblance and detail. `Diffuse` reads only them.
    ///
    /// - The **mask** scales creativity: white is 100 %, black is 0. A mask of another size is fitted to the picture
    ///   (bilinear). No mask is white everywhere.
    /// - **Small faces and hands** are easily spoiled by invented detail. Where one was found, creativity and detail fall to
    ///   15 % and resemblance rises to at least 0.9. The found box is protected fully, and the protection fades out smoothly
    ///   to exactly nothing at the edge of the box grown by 30 % on every side. Boxes may come from a picture of another
    ///   size, such as the one before `Upscale`; they are scaled to this one. What is larger than `small` has pixels enough and is
    ///   left alone, with a smooth transition up to 1.5 times that size.
    ///
    /// A map that would be the same everywhere is kept as one number.
    pub struct Guide, version 2 {
        /// Picture that is guided, at the size that `Diffuse` will work at. Only its size matters.
        image: In<Image>,
        /// Where and how much may be reinvented: white fully, black not at all.
        mask: Option<In<Mask>>,
        /// Faces to preserve.
        faces: Option<In<Regions>>,
        /// Hands to preserve.
        hands: Option<In<Regions>>,
        /// How much may be reinvented, 0 (nothing: the faithful picture alone) to 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        creativity: Scalar = Scalar::Given(0.35),
        /// How strictly the structure is kept, 0 to 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        resemblance: Scalar = Scalar::Given(0.6),
        /// Strength of new fine detail, 0 (none) to 1 (double); 0.5 is natural.
        #[schemars(range(min = 0.0, max = 1.0))]
        detail: Scalar = Scalar::Given(0.5),
        /// Whether small faces are preserved. Needs `faces`.
        preserve_faces: bool = false,
        /// Whether small hands are preserved. Needs `hands`.
        preserve_hands: bool = false,
        /// Longest edge of a face or hand that counts as small, in pixels of this picture.
        #[schemars(range(min = 0.0, max = 100000.0))]
        small: f64 = 256.0,
    }
}

impl Node for Guide {
    type Out = Controls;

    fn check(&self) -> Vec<Failure> {
        let mut found = Vec::new();
        for (name, scalar) in self.controls() {
            if let Scalar::Given(value) = scalar {
                found.extend(share(name, *value).err());
            }
        }
        if !(0.0..=1e9).contains(&self.small) {
            found.push(
                Failure::new(engine::Blame::Graph, format!("`small` cannot be {}", self.small))
                    .at("small")
                    .hint("give a number of pixels, such as 256"),
            );
        }
        let missing = |field: &str, wire: &str| {
            Failure::new(engine::Blame::Graph, format!("`{field}` needs `{wire}`")).at(field.to_owned())
        };
        if self.preserve_faces && self.faces.is_none() {
            found.push(missing("preserve_faces", "faces").hint("wire `faces` to a `FaceDetect` node"));
        }
        if self.preserve_hands && self.hands.is_none() {
            found.push(missing("preserve_hands", "hands").hint("wire `hands` to a `HandDetect` node"));
        }
        found
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let Some(size) = seen.picture_size() else { return Forecast::of(Shape::Unknown(Type::Guide)) };
        let highest = match self.creativity {
            Scalar::Given(creativity) => creativity,
            Scalar::Wire(_) => 1.0,
        };
        let found = (self.preserve_faces && seen.get("faces").is_some())
            || (self.preserve_hands && seen.get("hands").is_some());
        let maps = if found { 3 } else { u32::from(seen.get("mask").is_some()) };
        // The protected pixels, or the mask at this size.
        let working_bytes = if maps > 0 { size.area() * 4 } else { 0 };
        Forecast { working_bytes, ..Forecast::of(Shape::Guide(size, highest, maps)) }
    }

    fn reach(&self, _: &Shapes) -> Option<Reach> {
        // Only the size of the picture matters, and masks and boxes lie over the whole.
        Some(Reach { fields: vec!["image"], halo: 0 })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Controls> {
        let seen = cx.get(&self.image)?.size();
        self.controls_over(cx, cx.frame(seen), cx.place(seen))
    }
}

impl Guide {
    /// The maps over the part `at` of a picture of `frame` pixels.
    fn controls_over(&self, cx: &Cx<'_>, frame: Size, at: Rect) -> NodeResult<Controls> {
        let size = at.size();
        let mut values = [0f32; 3];
        for (value, (name, scalar)) in values.iter_mut().zip(self.controls()) {
            *value = share(name, cx.number(scalar)?)?;
        }
        let [creativity, resemblance, detail] = values;
        let mask = cx.optional(&self.mask)?;
        let mut regions = Vec::new();
        for (on, wire) in [(self.preserve_faces, &self.faces), (self.preserve_hands, &self.hands)] {
            // What is not preserved is not asked for: a detector without a model must not end the run for nothing.
            if on && let Some(found) = cx.optional(wire)? {
                regions.extend(place(&found, frame, self.small as f32));
            }
        }
        let creativity = match mask {
            Some(mask) => masked(&mask, frame, at, creativity)?,
            None => Field::Uniform(creativity),
        };
        let protection = protection(&regions, frame, at)?;
        let Some(protection) = protection else {
            return Ok(Controls::new(size, creativity, Field::Uniform(resemblance), Field::Uniform(detail)));
        };
        let soften = |v: f32, p: f32| v * (1.0 - p * (1.0 - KEPT));
        Ok(Controls::new(
            size,
            combine(&creativity, &protection, size, soften)?,
            combine(&Field::Uniform(resemblance), &protection, size, |v, p| v + p * (STRICT - v).max(0.0))?,
            combine(&Field::Uniform(detail), &protection, size, soften)?,
        ))
    }

    fn controls(&self) -> [(&'static str, &Scalar); 3] {
        [("creativity", &self.creativity), ("resemblance", &self.resemblance), ("detail", &self.detail)]
    }
}

/// A control between 0 and 1.
fn share(name: &'static str, value: f64) -> NodeResult<f32> {
    if (0.0..=1.0).contains(&value) {
        return Ok(value as f32);
    }
    Err(Failure::new(engine::Blame::Graph, format!("`{name}` cannot be {value}")).at(name).hint("use 0 to 1"))
}

/// Creativity times the mask, on the part `at` of a picture of `frame` pixels.
fn masked(mask: &Mask, frame: Size, at: Rect, creativity: f32) -> NodeResult<Field> {
    let mut samples = if mask.size() == frame {
        let mut samples = room(at.size().pixels())?;
        let width = frame.width as usize;
        for row in mask.samples()[at.y as usize * width..].chunks(width).take(at.height as usize) {
            samples.extend_from_slice(&row[at.x as usize..at.right() as usize]);
        }
        samples
    } else {
        stretch::plane(mask.samples(), &Window { part: at, ..Window::whole(mask.size(), frame) }, Filter::Bilinear)?
    };
    samples.par_iter_mut().for_each(|v| *v = creativity * unit(*v));
    let first = samples.first().copied().unwrap_or(creativity);
    if samples.par_iter().all(|v| v.to_bits() == first.to_bits()) {
        return Ok(Field::Uniform(first));
    }
    Ok(Field::Map(Arc::new(Mask::new(at.size(), samples))))
}

/// A box in pixels of the guided picture, and how much it is protected.
#[derive(Clone, Copy, Debug)]
struct Box {
    centre: (f32, f32),
    half: (f32, f32),
    strength: f32,
}

/// The small ones of the found regions, scaled to the picture.
fn place(found: &Regions, size: Size, small: f32) -> Vec<Box> {
    let sx = size.width as f32 / found.frame.width.max(1) as f32;
    let sy = size.height as f32 / found.frame.height.max(1) as f32;
    let place = |r: &Region| {
        let half = (r.width * sx / 2.0, r.height * sy / 2.0);
        let centre = (r.x * sx + half.0, r.y * sy + half.1);
        let sound = [half.0, half.1, centre.0, centre.1].iter().all(|v| v.is_finite()) && half.0 > 0.0 && half.1 > 0.0;
        let longest = 2.0 * half.0.max(half.1);
        let strength = 1.0 - smooth((longest / small.max(1e-3) - 1.0) / (LARGE - 1.0));
        (sound && strength > 0.0).then_some(Box { centre, half, strength })
    };
    found.items.iter().filter_map(place).collect()
}

/// 0 up to 0, 1 from 1 on, smooth in between.
fn smooth(t: f32) -> f32 {
    let t = t.clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

/// How much each pixel of the part `at` of a picture of `frame` pixels is protected, 0 to 1; `None` when none is.
fn protection(boxes: &[Box], frame: Size, at: Rect) -> NodeResult<Option<Vec<f32>>> {
    if boxes.is_empty() {
        return Ok(None);
    }
    let width = at.width as usize;
    let mut map = crate::pixel::zeros(at.size().pixels())?;
    for b in boxes {
        // Pixels whose centres lie in the grown box.
        let range = |centre: f32, half: f32, length: u32, seen: std::ops::Range<u32>| {
            let reach = half * (1.0 + 2.0 * GROWN);
            let edge = |v: f32| v.clamp(0.0, length as f32) as u32;
            edge((centre - reach).floor()).max(seen.start)..edge((centre + reach).ceil()).min(seen.end)
        };
        let fade = |at: u32, centre: f32, half: f32| {
            let distance = (at as f32 + 0.5 - centre).abs() / half;
            1.0 - smooth((distance - 1.0) / (2.0 * GROWN))
        };
        let columns: Vec<(usize, f32)> = range(b.centre.0, b.half.0, frame.width, at.x..at.right())
            .map(|x| ((x - at.x) as usize, fade(x, b.centre.0, b.half.0)))
            .collect();
        for y in range(b.centre.1, b.half.1, frame.height, at.y..at.bottom()) {
            let row = b.strength * fade(y, b.centre.1, b.half.1);
            let line = &mut map[(y - at.y) as usize * width..][..width];
            for &(x, column) in &columns {
                line[x] = line[x].max(row * column);
            }
        }
    }
    Ok(map.par_iter().any(|&p| p > 0.0).then_some(map))
}

/// A control changed where pixels are protected; elsewhere it stays bit by bit.
fn combine(field: &Field, protection: &[f32], size: Size, change: impl Fn(f32, f32) -> f32) -> NodeResult<Field> {
    let mut samples = room(size.pixels())?;
    samples.extend(protection.iter().enumerate().map(|(i, &p)| {
        let value = field.at(i);
        if p > 0.0 { change(value, p) } else { value }
    }));
    Ok(Field::Map(Arc::new(Mask::new(size, samples))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::RegionKind;

    fn found(frame: Size, x: f32, y: f32, width: f32, height: f32) -> Regions {
        Regions { frame, items: vec![Region { kind: RegionKind::Face, x, y, width, height, confidence: 1.0 }] }
    }

    #[test]
    fn white_is_no_mask() {
        let size = Size::new(5, 4);
        assert_eq!(masked(&Mask::filled(size, 1.0), size, size.rect(), 0.35).expect("small"), Field::Uniform(0.35));
        assert_eq!(
            masked(&Mask::filled(Size::new(3, 9), 0.0), size, size.rect(), 0.35).expect("small"),
            Field::Uniform(0.0)
        );
    }

    #[test]
    fn a_mask_scales_creativity() {
        let size = Size::new(2, 1);
        let field = masked(&Mask::new(size, vec![0.5, f32::NAN]), size, size.rect(), 0.8).expect("small");
        assert_eq!((field.at(0), field.at(1)), (0.4, 0.0));
    }

    #[test]
    fn boxes_of_another_frame_are_scaled_and_fade_to_nothing() {
        let size = Size::new(200, 100);
        let boxes = place(&found(Size::new(100, 50), 40.0, 20.0, 10.0, 10.0), size, 64.0);
        let map = protection(&boxes, size, size.rect()).expect("small").expect("a face is there");
        let at = |x: usize, y: usize| map[y * 200 + x];
        assert_eq!(at(90, 50), 1.0);
        assert_eq!(at(80, 40), 1.0);
        // 20 px wide: grown by 6 on every side.
        assert_eq!((at(73, 50), at(106, 50), at(90, 33), at(90, 66)), (0.0, 0.0, 0.0, 0.0));
        assert!(at(76, 50) > 0.0 && at(76, 50) < 1.0);
    }

    #[test]
    fn large_faces_are_left_alone() {
        let size = Size::new(400, 400);
        assert!(place(&found(size, 0.0, 0.0, 160.0, 150.0), size, 100.0).is_empty());
        let medium = place(&found(size, 0.0, 0.0, 120.0, 100.0), size, 100.0);
        assert!(medium[0].strength > 0.0 && medium[0].strength < 1.0);
        for broken in [found(size, f32::NAN, 0.0, 9.0, 9.0), found(size, 0.0, 0.0, -1.0, 9.0)] {
            assert!(place(&broken, size, 100.0).is_empty());
        }
    }

    #[test]
    fn what_is_not_protected_stays_bit_by_bit() {
        let size = Size::new(3, 1);
        let field = combine(&Field::Uniform(0.37), &[0.0, 0.5, 1.0], size, |v, p| v * (1.0 - p * 0.85)).expect("small");
        assert_eq!(field.at(0).to_bits(), 0.37f32.to_bits());
        assert!((field.at(2) - 0.37 * 0.15).abs() < 1e-6);
    }

    #[test]
    fn boxes_may_reach_over_the_edges() {
        let size = Size::new(10, 10);
        let map = protection(&place(&found(size, -4.0, 6.0, 8.0, 9.0), size, 64.0), size, size.rect())
            .expect("small")
            .expect("there");
        assert_eq!(map[9 * 10], 1.0);
        assert_eq!(map[9], 0.0);
    }

    #[test]
    fn mistakes_are_told_together() {
        let guide = Guide {
            creativity: 1.5.into(),
            detail: f64::NAN.into(),
            preserve_faces: true,
            small: f64::NAN,
            ..Guide::default()
        };
        let fields: Vec<_> = guide.check().into_iter().filter_map(|f| f.field).collect();
        assert_eq!(fields, ["creativity", "detail", "small", "preserve_faces"]);
    }
}
