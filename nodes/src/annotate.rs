use crate::pixel::{lettering, unit};
use engine::{
    Cx, Forecast, In, Node, NodeResult, Outputs, Shapes,
    value::{Guide, Image, RegionKind, Regions, Text},
};
use rayon::prelude::*;
use std::sync::Arc;

engine::node! {
    /// Draws over a picture what a graph works with: tiles, found regions, the guide and a caption.
    ///
    /// Creativity is laid over the picture from blue (0) over green to red (1), at a third of its strength. Faces get
    /// green boxes, hands orange ones, each with its confidence in percent. Lines and letters grow with the picture.
    /// Regions and a guide of another size are stretched to the picture.
    pub struct Annotate, version 1 {
        /// Picture to draw on.
        image: In<Image>,
        /// Boxes to draw.
        regions: Option<In<Regions>>,
        /// Guide whose creativity is laid over the picture.
        guide: Option<In<Guide>>,
        /// Edge of the tiles to draw, in pixels; 0 draws none.
        #[schemars(range(min = 0, max = 65_536))]
        tile: u32 = 0,
        /// Text for the left upper corner.
        caption: Option<In<Text>>,
    }
}

const GRID: [f32; 3] = [1.0, 1.0, 0.2];
const FACE: [f32; 3] = [0.1, 1.0, 0.2];
const HAND: [f32; 3] = [1.0, 0.6, 0.1];

/// Fills a rectangle, given by its edges, as far as it lies within the picture.
fn fill(out: &mut Image, [left, top, right, bottom]: [i64; 4], colour: [f32; 3], share: f32) {
    let size = out.size();
    let clip = |v: i64, end: u32| v.clamp(0, i64::from(end)) as usize;
    let (left, right) = (clip(left, size.width), clip(right, size.width));
    let (top, bottom) = (clip(top, size.height), clip(bottom, size.height));
    if left >= right || top >= bottom {
        return;
    }
    let width = size.width as usize;
    for (channel, value) in colour.into_iter().enumerate() {
        let plane = out.plane_mut(channel);
        for y in top..bottom {
            plane[y * width + left..y * width + right].iter_mut().for_each(|v| *v += share * (value - *v));
        }
    }
    if out.has_alpha() {
        let plane = out.plane_mut(3);
        for y in top..bottom {
            plane[y * width + left..y * width + right].iter_mut().for_each(|v| *v = v.max(share));
        }
    }
}

/// Draws the outline of a rectangle, given by its edges.
fn outline(out: &mut Image, [left, top, right, bottom]: [i64; 4], thick: i64, colour: [f32; 3]) {
    fill(out, [left, top, right, top + thick], colour, 1.0);
    fill(out, [left, bottom - thick, right, bottom], colour, 1.0);
    fill(out, [left, top + thick, left + thick, bottom - thick], colour, 1.0);
    fill(out, [right - thick, top + thick, right, bottom - thick], colour, 1.0);
}

/// Writes a line of text in light letters on a dark ground; `at` is its left upper corner.
fn write(out: &mut Image, text: &str, at: [i64; 2], dot: i64) {
    let [x, y] = at;
    let letters: Vec<[u8; 5]> = text.chars().take(400).map(lettering::glyph).collect();
    let width = letters.len() as i64 * 4 * dot + dot;
    fill(out, [x, y, x + width, y + 7 * dot], [0.0; 3], 0.75);
    for (i, rows) in letters.into_iter().enumerate() {
        for (row, bits) in rows.into_iter().enumerate() {
            for column in (0..3).filter(|column| bits >> (2 - column) & 1 == 1) {
                let left = x + dot + (4 * i as i64 + column) * dot;
                let top = y + dot + row as i64 * dot;
                fill(out, [left, top, left + dot, top + dot], [1.0; 3], 1.0);
            }
        }
    }
}

/// Blue over green to red.
fn heat(v: f32) -> [f32; 3] {
    let v = unit(v);
    [(2.0 * v - 1.0).max(0.0), 1.0 - (2.0 * v - 1.0).abs(), (1.0 - 2.0 * v).max(0.0)]
}

fn overlay(out: &mut Image, guide: &Guide) {
    const SHARE: f32 = 1.0 / 3.0;
    let (size, from) = (out.size(), guide.size());
    if from.area() == 0 {
        return;
    }
    let width = size.width as usize;
    for channel in 0..3 {
        out.plane_mut(channel).par_chunks_mut(width.max(1)).enumerate().for_each(|(y, row)| {
            let down = y as u64 * u64::from(from.height) / u64::from(size.height);
            for (x, v) in row.iter_mut().enumerate() {
                let across = x as u64 * u64::from(from.width) / u64::from(size.width);
                let pixel = (down * u64::from(from.width) + across) as usize;
                *v += SHARE * (heat(guide.creativity.at(pixel))[channel] - *v);
            }
        });
    }
}

fn draw(image: &Image, regions: Option<&Regions>, guide: Option<&Guide>, tile: u32, caption: Option<&str>) -> Image {
    let mut out = image.clone();
    // What is drawn has colours.
    Arc::make_mut(&mut out.metadata).grey = false;
    let size = out.size();
    let longest = i64::from(size.width.max(size.height));
    let (thick, dot) = ((longest / 800).max(1), (longest / 400).max(1));
    if let Some(guide) = guide {
        overlay(&mut out, guide);
    }
    if tile > 0 {
        let lines = |length: u32| (tile..length).step_by(tile as usize).map(i64::from);
        for x in lines(size.width) {
            fill(&mut out, [x - thick / 2, 0, x - thick / 2 + thick, i64::from(size.height)], GRID, 0.8);
        }
        for y in lines(size.height) {
            fill(&mut out, [0, y - thick / 2, i64::from(size.width), y - thick / 2 + thick], GRID, 0.8);
        }
    }
    if let Some(regions) = regions {
        let frame = regions.frame;
        let stretch =
            |v: f32, from: u32, to: u32| (f64::from(v) * f64::from(to) / f64::from(from.max(1))).round() as i64;
        for region in &regions.items {
            let (right, bottom) = (region.x + region.width, region.y + region.height);
            // Far outside is as good as just outside, and keeps the sums small.
            let x = |v: f32| stretch(v, frame.width, size.width).clamp(-1_000_000, 5_000_000_000);
            let y = |v: f32| stretch(v, frame.height, size.height).clamp(-1_000_000, 5_000_000_000);
            let edges = [x(region.x), y(region.y), x(right), y(bottom)];
            let (name, colour) = match region.kind {
                RegionKind::Face => ("FACE", FACE),
                RegionKind::Hand => ("HAND", HAND),
            };
            outline(&mut out, edges, 2 * thick, colour);
            let label = format!("{name} {:.0}%", region.confidence * 100.0);
            write(&mut out, &label, [edges[0], edges[1] - 7 * dot], dot);
        }
    }
    if let Some(caption) = caption {
        for (line, text) in caption.lines().take(100).enumerate() {
            write(&mut out, text, [0, line as i64 * 7 * dot], dot);
        }
    }
    out
}

impl Node for Annotate {
    type Out = Image;

    fn forecast(&self, seen: &Shapes) -> Forecast {
        Forecast::like(seen.get("image"), <Image as Outputs>::PORTS)
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let (regions, guide) = (cx.optional(&self.regions)?, cx.optional(&self.guide)?);
        let caption = cx.optional(&self.caption)?;
        cx.checkpoint()?;
        Ok(draw(&image, regions.as_deref(), guide.as_deref(), self.tile, caption.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::{Field, Region, Size};

    #[test]
    fn everything_is_drawn_where_it_belongs() {
        let size = Size::new(100, 60);
        let grey = Image::filled(size, &[0.5; 3]);
        let gridded = draw(&grey, None, None, 32, None);
        assert!(gridded.plane(0)[32] > 0.8 && gridded.plane(0)[31] == 0.5 && gridded.plane(0)[32 * 100 + 5] > 0.8);

        let face = Region { kind: RegionKind::Face, x: 5.0, y: 20.0, width: 10.0, height: 10.0, confidence: 0.9 };
        let regions = Regions { frame: Size::new(50, 60), items: vec![face] };
        let boxed = draw(&grey, Some(&regions), None, 0, None);
        assert_eq!(boxed.plane(1)[25 * 100 + 10], 1.0, "left edge, stretched to twice the width");
        assert_eq!(boxed.plane(1)[25 * 100 + 20], 0.5, "nothing within");

        let uniform = Guide::new(size, Field::Uniform(1.0), Field::Uniform(0.5), Field::Uniform(0.5));
        let hot = draw(&grey, None, Some(&uniform), 0, None);
        assert!(hot.plane(0)[0] > 0.6 && hot.plane(2)[0] < 0.4);

        let lettered = draw(&grey, None, None, 0, Some("I"));
        assert_eq!(&lettered.plane(0)[101..104], &[1.0, 1.0, 1.0], "the upper bar of the letter");
    }

    #[test]
    fn nothing_panics_on_odd_places() {
        let wild = [f32::NAN, f32::INFINITY, -1e30, 1e30, 0.0];
        for (w, h) in [(1, 1), (2000, 1), (7, 900)] {
            let image = Image::filled(Size::new(w, h), &[0.5; 4]);
            let items = wild
                .into_iter()
                .flat_map(|a| wild.into_iter().map(move |b| (a, b)))
                .map(|(a, b)| Region { kind: RegionKind::Hand, x: a, y: b, width: b, height: a, confidence: a })
                .collect();
            let regions = Regions { frame: Size::new(3, 3), items };
            let guide = Guide::new(Size::new(3, 3), Field::Uniform(f32::NAN), Field::Uniform(0.5), Field::Uniform(0.5));
            draw(&image, Some(&regions), Some(&guide), 1, Some("Ünknown\nletters ☃ 100 %"));
        }
    }
}
