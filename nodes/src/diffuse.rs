use crate::{
    backend::{self, Precision, Watched},
    pixel::{gaussian, room, zeros},
    walk::{self, Walk},
};
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Outputs, Reach, Scalar, Shape, Shapes, bail,
    digest::{Digest, Digester},
    schemars::JsonSchema,
    serde::{Deserialize, Serialize},
    value::{Field, Guide, Image, Rect, Size, Type},
};
use models::{Backbone, DamageCondition, Detail, Factor, Faithful, Sampling};
use rayon::prelude::*;
use std::sync::Arc;

/// The kind of picture, as the detail network is told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(crate = "engine::serde")]
#[schemars(crate = "engine::schemars")]
pub enum Style {
    /// Anything: the network decides by itself.
    #[default]
    Universal,
    /// Photographs.
    Realism,
    /// Flat colours and ink lines.
    Anime,
    /// Thick paint with relief.
    Impasto,
    /// Washes on paper.
    Watercolor,
}

impl Style {
    /// What the network is told. Universal is the network without a hint.
    fn told(self) -> Option<models::Style> {
        match self {
            Self::Universal => None,
            Self::Realism => Some(models::Style::Realism),
            Self::Anime => Some(models::Style::Anime),
            Self::Impasto => Some(models::Style::Impasto),
            Self::Watercolor => Some(models::Style::Watercolor),
        }
    }
}

/// Most steps that are worth their time.
const STEPS: u32 = 8;
/// Creativity above which the condition is coarsened.
const COARSEN: f32 = 0.5;
/// Deviation of the blur that parts fine detail from the rest, in pixels.
const FINE: f32 = 1.0;

engine::node! {
    /// Samples plausible detail over an enlarged picture and adds as much of it as the guide allows, pixel by pixel.
    ///
    /// The embedded network carries noise to a residual: the difference between the picture that comes in and a plausible
    /// original of it. Then, at every pixel,
    ///
    /// `result = picture + creativity * residual`
    ///
    /// so that creativity moves from the picture with the least error (0) to a sample of all that it might have been (1),
    /// the best trade of fidelity against naturalness (Freirich, Michaeli and Meir 2021). Before it is added the residual
    /// is shaped by the other two controls: **detail** is a gain on its finest band (0.5 leaves it alone, 1 doubles it), and
    /// **resemblance** takes out of it what would survive if the result were made small again (back-projection), so that at 1
    /// the result, reduced, is the picture that came in, reduced.
    ///
    /// Above creativity 0.5 larger structure is reinvented as well: a second residual is sampled from a coarser condition
    /// (the picture reduced by 2 and enlarged again) and takes over, fully at 1.
    ///
    /// A pixel whose creativity is 0 keeps its value bit by bit, and where that is so everywhere nothing is sampled. The
    /// sampled residuals are kept apart from the controls: moving creativity, mask, detail or resemblance does not
    /// sample again. Noise belongs to the place in the picture: a tile with a halo, a cut-out and the whole picture get the
    /// same detail. Alpha is not touched.
    ///
    /// Anime, impasto and watercolor are sampled by a second set of weights, trained on pictures painted by procedure: lines that are inked
    /// and areas that are flattened a little, ridges of thick paint, and pigment in the grain of paper. Universal and realism share the weights that
    /// were trained on photographs.
    pub struct Diffuse, version 1 {
        /// Picture to add detail to, already at its final size.
        image: In<Image>,
        /// How much, where.
        guide: In<Guide>,
        /// Kind of picture.
        style: Style = Style::Universal,
        /// Sampling steps, 1 to 8. For two there are weights of their own, which get as far as eight steps of the others; from three on, more
        /// give finer and stronger detail and take longer.
        #[schemars(range(min = 1, max = 8))]
        steps: u32 = 2,
        /// Picks one of the plausible answers: the same seed gives the same picture.
        seed: u64 = 0,
        /// Factor by which the picture was enlarged before; says how much is missing.
        #[schemars(range(min = 1.0, max = 16.0))]
        scale: Scalar = Scalar::Given(2.0),
        /// Edge of the tiles that the network works on, in pixels. Changes time and memory, never a pixel.
        #[schemars(range(min = 64, max = 4096))]
        tile: u32 = Detail::TILE,
        /// Numbers that the network computes in.
        precision: Precision = Precision::Auto,
    }
}

/// What invents the detail.
fn backbone(precision: Precision) -> NodeResult<&'static dyn Backbone> {
    precision.detail().map(|net| net as &dyn Backbone)
}

impl Diffuse {
    fn steps(&self) -> NodeResult<u32> {
        if !(1..=STEPS).contains(&self.steps) {
            bail!(steps, "`steps` cannot be {}", self.steps; hint: "use 1 to {}; 2 is a good number", STEPS);
        }
        Ok(self.steps)
    }

    /// A residual of the picture, sampled unless it is known already.
    fn residual(&self, cx: &mut Cx<'_>, image: &Image, plan: &Plan) -> NodeResult<Arc<Image>> {
        let size = image.size();
        let key = |d: &mut Digester| {
            d.size(size);
            d.samples(image.rgb());
            d.rect(plan.place);
            d.u64(self.seed);
            d.u64(u64::from(self.steps));
            d.u64(self.style as u64);
            d.f64(f64::from(plan.coarse));
            d.digest(self.precision.family());
        };
        cx.memo::<Image>(plan.name, key, |cx| {
            let rgb = backend::colours(image);
            let coarser;
            let condition: &[f32] = if plan.coarsened {
                coarser = coarsen(cx, &rgb, size, plan.place, self.precision)?;
                &coarser
            } else {
                &rgb
            };
            let sampling = Sampling {
                seed: self.seed,
                steps: self.steps()?,
                coarse: plan.coarse,
                style: self.style.told(),
                tile: cx.edge(self.tile),
            };
            let picture = backend::picture(condition, size, (plan.place.x, plan.place.y))?;
            let mut watch = Watched { cx, part: plan.part, parts: plan.parts };
            let net = backbone(self.precision.within(cx))?;
            let mut residual = net.sample(picture, &sampling, &mut watch).map_err(backend::failure)?;
            if plan.coarsened {
                // Told from the picture itself, so that both residuals can be mixed.
                residual.par_iter_mut().zip(condition).zip(rgb.as_ref()).for_each(|((r, new), old)| *r += new - old);
            }
            Ok(Image::new(size, 3, residual, Arc::default()))
        })
    }
}

/// One of the residuals to sample.
struct Plan {
    name: &'static str,
    place: Rect,
    coarse: f32,
    coarsened: bool,
    part: u64,
    parts: u64,
}

impl Node for Diffuse {
    type Out = Image;
    const HEAVY: bool = true;
    const NETWORK: bool = true;

    fn check(&self) -> Vec<Failure> {
        let mut found: Vec<Failure> = self.steps().err().into_iter().collect();
        if let Scalar::Given(scale) = self.scale {
            found.extend(coarseness(scale).err());
        }
        found
    }

    fn reduced(&self) -> bool {
        self.precision.reduced()
    }

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        // The coarser condition goes through the faithful network.
        let files = [Detail::embedded_digest(), Faithful::embedded_digest()].map(backend::digest);
        Ok(files.into_iter().chain([self.precision.family()]).collect())
    }

    fn gives(&self, seen: &Shapes) -> Vec<Shape> {
        Forecast::like(seen.first_picture(), <Image as Outputs>::PORTS).outputs
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let Some((size, channels)) = seen.first_picture().and_then(|shape| Some((shape.size()?, shape.channels())))
        else {
            return Forecast::of(Shape::Unknown(Type::Image));
        };
        let highest = highest(seen);
        // A residual for nothing, one, or a second from a coarser condition besides.
        let samplings = if highest <= 0.0 { 0 } else { 1 + u32::from(highest > COARSEN) };
        let flops = backbone(self.precision).map_or(0.0, |net| net.flops_per_pixel());
        let walk =
            Walk { edge: seen.thrift.edge(self.tile), margin: backbone(self.precision).map_or(0, |net| net.radius()) };
        let (width, height) = walk.widest(size);
        // The network works on whole blocks of pixels.
        let at_once = (u64::from(width) + 8) * (u64::from(height) + 8);
        // Sampling holds two copies of three planes, and the maps of a tile; beside a second residual there are the first
        // one and the coarser condition. The result, which is counted anyhow, comes only after that.
        let copies = if samplings > 1 { 48 } else { 24 };
        let sampling = size.area() * copies + at_once * 60 * self.precision.bytes();
        let result = size.area() * channels as u64 * 4;
        // Shaping holds the residual and two planes.
        let shaping = size.area() * (12 + 8);
        let working_bytes = if samplings > 0 { sampling.saturating_sub(result).max(shaping) } else { 0 };
        Forecast {
            outputs: self.gives(seen),
            flops: flops * walk.pixels(size) * f64::from(self.steps * samplings),
            working_bytes,
            tiles: if samplings > 0 { walk.tiles(size) } else { 0 },
        }
    }

    fn reach(&self, seen: &Shapes) -> Option<Reach> {
        let (Scalar::Given(scale), Ok(net), Ok(faithful)) =
            (&self.scale, backbone(self.precision), self.precision.faithful())
        else {
            return None;
        };
        let highest = highest(seen);
        let fields = vec!["image", "guide"];
        if highest <= 0.0 {
            return Some(Reach { fields, halo: 0 });
        }
        // Every step looks as far as the network and fills blocks of 8 pixels; the coarser condition goes through the faithful
        // network at half the size, and the residuals are shaped.
        let coarsened = if highest > COARSEN { 2 * (faithful.radius() + HALVE.len() as u32) } else { 0 };
        let shaped = gaussian::reach(FINE) + 2 * gaussian::reach(0.5 * scale.clamp(2.0, 16.0) as f32);
        let halo = self.steps * net.radius() + 8 + coarsened + shaped as u32;
        Some(Reach { fields, halo })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let guide = cx.get(&self.guide)?;
        let size = image.size();
        if guide.size() != size {
            return Err(Failure::input(format!("the guide is over {}, but the picture is {size}", guide.size()))
                .at("guide")
                .hint("give `Guide` the same picture as `Diffuse`"));
        }
        let highest = guide.creativity.highest();
        if highest <= 0.0 {
            return Ok((*image).clone());
        }
        let coarse = coarseness(cx.number(&self.scale)?)?;
        let width = cx.number(&self.scale)?.clamp(2.0, 16.0) as f32;
        let place = cx.place(size);
        let parts = if highest > COARSEN { 2 } else { 1 };
        let plan = Plan { name: "residual", place, coarse, coarsened: false, part: 0, parts };
        let plain = self.residual(cx, &image, &plan)?;
        let mut residual = room(plain.samples().len())?;
        residual.extend_from_slice(plain.samples());
        drop(plain);
        if highest > COARSEN {
            let plan = Plan {
                name: "coarse residual",
                place,
                coarse: (coarse + 1.0).min(2.0),
                coarsened: true,
                part: 1,
                parts,
            };
            let larger = self.residual(cx, &image, &plan)?;
            mix(&mut residual, larger.samples(), &guide.creativity);
        }
        for plane in residual.chunks_exact_mut(size.pixels()) {
            cx.checkpoint()?;
            shape(plane, size, &guide, width)?;
        }
        let mut out = (*image).clone();
        for (c, plane) in residual.chunks_exact(size.pixels()).enumerate() {
            out.plane_mut(c).par_iter_mut().zip(plane).enumerate().for_each(|(i, (v, r))| {
                let creativity = guide.creativity.at(i);
                // Explicit, as adding zero times something would lose the sign of zero and what is no number.
                if creativity > 0.0 {
                    *v += creativity * r;
                }
            });
        }
        Ok(out)
    }
}

/// The most creativity that the guide may ask for.
fn highest(seen: &Shapes) -> f32 {
    match seen.get("guide") {
        Some(Shape::Guide(_, highest, _)) => *highest as f32,
        _ => 1.0,
    }
}

/// How coarse the condition is after an enlargement: log2 of the factor, 1 to 2.
fn coarseness(scale: f64) -> NodeResult<f32> {
    if !(1.0..=16.0).contains(&scale) {
        bail!(scale, "`scale` cannot be {}", scale; hint: "use the factor that the picture was enlarged by, 1 to 16");
    }
    Ok(scale.log2().clamp(1.0, 2.0) as f32)
}

/// Lets the second residual take over above creativity 0.5; below it the first one stays bit by bit.
fn mix(residual: &mut [f32], larger: &[f32], creativity: &Field) {
    let pixels = residual.len() / 3;
    residual.par_iter_mut().zip(larger).enumerate().for_each(|(i, (r, l))| {
        let share = ((creativity.at(i % pixels) - COARSEN) / (1.0 - COARSEN)).min(1.0);
        if share > 0.0 {
            *r += share * (l - *r);
        }
    });
}

/// Applies detail and resemblance to one plane of the residual. `width` is the enlargement whose reduction the
/// result should survive.
fn shape(plane: &mut [f32], size: Size, guide: &Guide, width: f32) -> NodeResult<()> {
    if guide.detail != Field::Uniform(0.5) {
        let low = gaussian::blur(plane, size, FINE)?;
        plane.par_iter_mut().zip(&low).enumerate().for_each(|(i, (r, low))| {
            let gain = guide.detail.at(i) / 0.5;
            *r = low + (*r - low) * gain;
        });
    }
    if guide.resemblance.highest() > 0.0 {
        // A reduction by n averages with a kernel about n pixels wide, like a Gaussian of half that deviation. A shift-
        // invariant one in place of the reduction itself gives the same pixels in every tile and at every fraction.
        for _ in 0..2 {
            let survives = gaussian::blur(plane, size, 0.5 * width)?;
            plane.par_iter_mut().zip(&survives).enumerate().for_each(|(i, (r, s))| {
                *r -= guide.resemblance.at(i).clamp(0.0, 1.0) * s;
            });
        }
    }
    Ok(())
}

/// The colours reduced by 2 and enlarged again by the faithful network. The pixels are paired as they are in the whole
/// picture, so that a tile gets what the whole picture gets.
fn coarsen(cx: &Cx<'_>, rgb: &[f32], size: Size, place: Rect, precision: Precision) -> NodeResult<Vec<f32>> {
    let (left, top) = ((place.x % 2) as usize, (place.y % 2) as usize);
    let (w, h) = (size.width as usize, size.height as usize);
    let half = Size::new((left + w).div_ceil(2) as u32, (top + h).div_ceil(2) as u32);
    let mut small = room(3 * half.pixels())?;
    for plane in rgb.chunks_exact(size.pixels()) {
        small.extend(halve(plane, size, half, (left, top))?);
    }
    let picture = backend::picture(&small, half, (place.x / 2, place.y / 2))?;
    // The time of this run is small beside the sampling, so it has no part of the progress.
    let mut watch = |_: u64, _: u64| cx.checkpoint().map_err(|_| models::Error::Cancelled);
    let net = precision.within(cx).faithful()?;
    let large = net
        .enlarge(picture, DamageCondition::default(), Factor::X2, walk::edge(Faithful::TILE, half), &mut watch)
        .map_err(backend::failure)?;
    let stride = 2 * half.width as usize;
    let mut out = room(rgb.len())?;
    for plane in large.chunks_exact(4 * half.pixels()) {
        for y in top..top + h {
            out.extend_from_slice(&plane[y * stride + left..y * stride + left + w]);
        }
    }
    Ok(out)
}

/// Weights of the antialiased bicubic reduction by 2 (Keys, a = -0.5), on which the faithful network was trained.
const HALVE: [f32; 8] =
    [-0.0117_1875, -0.0351_5625, 0.1132_8125, 0.4335_9375, 0.4335_9375, 0.1132_8125, -0.0351_5625, -0.0117_1875];

/// A plane reduced by 2. `shift` (0 or 1 each way) says how many pixels of the first pair lie before the plane.
fn halve(plane: &[f32], size: Size, half: Size, shift: (usize, usize)) -> NodeResult<Vec<f32>> {
    let (w, h) = (size.width as usize, size.height as usize);
    let (hw, hh) = (half.width as usize, half.height as usize);
    let from = |i: usize, k: usize, shift: usize, length: usize| (2 * i + k).saturating_sub(3 + shift).min(length - 1);
    let mut across = zeros(hw * h)?;
    across.par_chunks_mut(hw).zip(plane.par_chunks(w)).for_each(|(to, line)| {
        for (i, to) in to.iter_mut().enumerate() {
            *to = HALVE.iter().enumerate().map(|(k, weight)| weight * line[from(i, k, shift.0, w)]).sum();
        }
    });
    let mut out = zeros(hw * hh)?;
    out.par_chunks_mut(hw).enumerate().for_each(|(i, to)| {
        for (k, weight) in HALVE.iter().enumerate() {
            let row = from(i, k, shift.1, h);
            for (to, v) in to.iter_mut().zip(&across[row * hw..]) {
                *to += weight * v;
            }
        }
    });
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Mask;

    fn waves(size: Size) -> Vec<f32> {
        let at = |i: usize| {
            let (x, y) = ((i % size.width as usize) as f32, (i / size.width as usize) as f32);
            0.1 * (x * 0.9 + y * 1.7).sin() + 0.05 * (x * 0.13 - y * 0.07).cos()
        };
        (0..size.pixels()).map(at).collect()
    }

    fn guide(size: Size, resemblance: f32, detail: f32) -> Guide {
        Guide::new(size, Field::Uniform(1.0), Field::Uniform(resemblance), Field::Uniform(detail))
    }

    fn shaped(size: Size, resemblance: f32, detail: f32) -> Vec<f32> {
        let mut plane = waves(size);
        shape(&mut plane, size, &guide(size, resemblance, detail), 2.0).expect("small");
        plane
    }

    fn energy(plane: &[f32]) -> f32 {
        plane.iter().map(|v| v * v).sum()
    }

    #[test]
    fn neutral_controls_change_nothing() {
        let size = Size::new(40, 30);
        assert_eq!(shaped(size, 0.0, 0.5), waves(size));
    }

    #[test]
    fn resemblance_takes_out_what_survives_reduction() {
        let size = Size::new(64, 64);
        let small = |plane: &[f32]| energy(&gaussian::blur(plane, size, 2.0).expect("small"));
        let (free, half, strict) = (waves(size), shaped(size, 0.5, 0.5), shaped(size, 1.0, 0.5));
        assert!(small(&strict) < 0.01 * small(&free), "{} {}", small(&strict), small(&free));
        assert!(small(&half) < 0.3 * small(&free));
        // Fine detail stays.
        assert!(energy(&strict) > 0.3 * energy(&free), "{} {}", energy(&strict), energy(&free));
    }

    #[test]
    fn detail_scales_the_fine_band() {
        let size = Size::new(64, 64);
        let fine = |plane: &[f32]| {
            let low = gaussian::blur(plane, size, 1.0).expect("small");
            energy(&plane.iter().zip(&low).map(|(a, b)| a - b).collect::<Vec<_>>())
        };
        let (none, natural, double) = (shaped(size, 0.0, 0.0), waves(size), shaped(size, 0.0, 1.0));
        assert!(fine(&none) < 0.2 * fine(&natural));
        assert!(fine(&double) > 2.5 * fine(&natural));
    }

    #[test]
    fn shaping_a_tile_gives_the_pixels_of_the_whole() {
        let (size, rect) = (Size::new(80, 70), Rect { x: 13, y: 9, width: 50, height: 48 });
        let whole = {
            let mut plane = waves(size);
            shape(&mut plane, size, &guide(size, 0.7, 0.8), 2.0).expect("small");
            Mask::new(size, plane).crop(rect)
        };
        let mut tile = Mask::new(size, waves(size)).crop(rect).samples().to_vec();
        shape(&mut tile, rect.size(), &guide(rect.size(), 0.7, 0.8), 2.0).expect("small");
        let halo = 2 * gaussian::reach(1.0) + gaussian::reach(FINE);
        for y in halo..48 - halo {
            for x in halo..50 - halo {
                assert_eq!(tile[y * 50 + x].to_bits(), whole.samples()[y * 50 + x].to_bits(), "{x} {y}");
            }
        }
    }

    #[test]
    fn the_second_residual_takes_over_above_a_half() {
        let size = Size::new(4, 1);
        let creativity = Field::Map(Arc::new(Mask::new(size, vec![0.0, 0.5, 0.75, 1.0])));
        let mut residual = vec![1.0; 12];
        mix(&mut residual, &[3.0; 12], &creativity);
        assert_eq!(residual[..4], [1.0, 1.0, 2.0, 3.0]);
        assert_eq!(residual[8..], [1.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn halving_keeps_flat_areas_and_pairs_by_place() {
        assert!((HALVE.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        let size = Size::new(32, 24);
        let plane = waves(size);
        let whole = halve(&plane, size, Size::new(16, 12), (0, 0)).expect("small");
        let rect = Rect { x: 5, y: 3, width: 20, height: 18 };
        let tile = Mask::new(size, plane).crop(rect);
        let half = Size::new(11, 10);
        let part = halve(tile.samples(), rect.size(), half, (1, 1)).expect("small");
        for y in 3..7 {
            for x in 3..8 {
                assert_eq!(part[y * 11 + x].to_bits(), whole[(y + 1) * 16 + x + 2].to_bits(), "{x} {y}");
            }
        }
        assert_eq!(halve(&[0.5], Size::new(1, 1), Size::new(1, 1), (0, 0)).expect("small"), [0.5]);
    }

    #[test]
    fn settings_have_ranges() {
        let mistakes = |node: Diffuse| node.check().into_iter().filter_map(|f| f.field).collect::<Vec<_>>();
        assert!(mistakes(Diffuse::default()).is_empty());
        assert_eq!(mistakes(Diffuse { steps: 0, ..Diffuse::default() }), ["steps"]);
        assert_eq!(mistakes(Diffuse { steps: 9, scale: f64::NAN.into(), ..Diffuse::default() }), ["steps", "scale"]);
        assert_eq!(coarseness(1.0).expect("fits"), 1.0);
        assert_eq!(coarseness(16.0).expect("fits"), 2.0);
    }
}
