use crate::{
    backend::{self, Precision, Watched},
    brought::Brought,
    pixel::{
        resample::Filter,
        spread,
        stretch::{self, Window},
    },
    walk::{self, Walk},
};
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Reach, Scalar, Shape, Shapes, Thrift, bail,
    digest::Digest,
    value::{Damage, Image, Size, Type},
};
use models::{Factor, Faithful};
use std::{borrow::Cow, sync::Arc};

/// Greatest factor of one pass.
const MOST: f64 = 4.0;

/// The same for networks that are brought along, some of which enlarge by more.
const MOST_BROUGHT: f64 = 16.0;

/// How far resampling looks at most, in pixels of what comes in: three of them by Lanczos and two by the bicubic filter that
/// alpha goes through, since nothing gets smaller, and one by rounding.
const RESAMPLED: u32 = 4;

engine::node! {
    /// Enlarges a picture with the embedded faithful network, the answer with the least error, or with a model of your own.
    ///
    /// The network enlarges by 2 or 4 and works at the size of the picture that comes in. Other factors take the next
    /// larger one and reduce its result (Lanczos). When `damage` says that the picture is to be restored, the network is
    /// told how strong noise, JPEG compression and blur are and removes them on the way; at `scale: 1` that is all it does.
    /// Alpha is enlarged on its own (bicubic), and visible colours are spread under what is transparent, so that no rim
    /// shows; colour profile, EXIF and resolution are carried along. Works in tiles,
    /// whose size changes time and memory, never a pixel.
    ///
    /// With `model` another network does the work: an upscaler or restorer out of a file (`.safetensors`, `.pth`, `.pt`, `.ckpt`,
    /// `.onnx`, or ncnn's `.param` and `.bin`), whose kind, size and factor are found from its tensors. It knows nothing of `damage`,
    /// runs as often as its own factor takes to reach `scale`, and its result is resampled to `scale` (Lanczos). Networks that may
    /// look at all of the picture, transformers above all, run on overlapping tiles that are blended, whose
    /// size then changes the picture a little.
    pub struct Upscale, version 2 {
        /// Picture to enlarge.
        image: In<Image>,
        /// What was measured of its damage, for the embedded network; without it the picture is taken for clean.
        damage: Option<In<Damage>>,
        /// Another network than the embedded one: the name of a model that is kept, or a file. Empty is the embedded one.
        #[schemars(extend("x-outside" = true))]
        model: String,
        /// Enlargement factor of both edges, 1 to 4, with `model` 1 to 16; fractions are allowed. `Repeat` goes further, pass by pass.
        #[schemars(range(min = 1.0, max = 16.0))]
        scale: Scalar = Scalar::Given(2.0),
        /// Edge of the tiles that the network works on, in pixels of the picture that comes in. A picture that is larger by half or
        /// less is one tile, and networks out of files that would compute little but margins take larger ones.
        #[schemars(range(min = 16, max = 4096))]
        tile: u32 = Faithful::TILE,
        /// Numbers that the network computes in.
        precision: Precision = Precision::Auto,
    }
}

impl Upscale {
    /// The network that `model` names, if it names one.
    fn brought(&self, precision: Precision) -> NodeResult<Option<Brought>> {
        if self.model.is_empty() { Ok(None) } else { Brought::new(&self.model, precision).map(Some) }
    }

    /// Whether one node can do it.
    fn check_scale(&self, scale: f64) -> NodeResult<()> {
        let most = if self.model.is_empty() { MOST } else { MOST_BROUGHT };
        if !(1.0..=most).contains(&scale) {
            bail!(scale, "one pass cannot enlarge by {}", scale;
                hint: "use 1 to {}; `Repeat(file: \"parts/pass.ron\", scale: {})` does more in passes", most, scale);
        }
        Ok(())
    }

    /// What the network's part is for a factor: the factor of the embedded one, or the passes of another.
    fn way(&self, scale: f64, precision: Precision) -> NodeResult<Way> {
        self.check_scale(scale)?;
        Ok(match self.brought(precision)? {
            Some(brought) => {
                let passes = brought.passes(scale)?;
                Way::Brought(brought, passes)
            }
            None if scale <= 1.0 => Way::Embedded(Factor::X1),
            None if scale <= 2.0 => Way::Embedded(Factor::X2),
            None => Way::Embedded(Factor::X4),
        })
    }

    /// The size of what comes in, how it is enlarged, and what comes out, as far as they are known beforehand.
    fn enlarged(&self, seen: &Shapes) -> Option<(Size, f64, Shape)> {
        let picture = seen.first_picture()?;
        let (size, Scalar::Given(scale)) = (picture.size()?, &self.scale) else { return None };
        self.check_scale(*scale).ok()?;
        Some((size, *scale, Shape::Image(size.scaled(*scale), picture.channels())))
    }
}

/// How a picture is enlarged.
enum Way {
    /// By the embedded network.
    Embedded(Factor),
    /// By another one, which runs so often.
    Brought(Brought, u32),
}

impl Way {
    /// How much larger the network's result is.
    fn factor(&self) -> u32 {
        match self {
            Self::Embedded(factor) => factor.get(),
            Self::Brought(brought, passes) => brought.scale().saturating_pow(*passes),
        }
    }
}

impl Node for Upscale {
    type Out = Image;
    const HEAVY: bool = true;
    const NETWORK: bool = true;

    fn check(&self) -> Vec<Failure> {
        match self.scale {
            Scalar::Given(scale) => self.check_scale(scale).err().into_iter().collect(),
            Scalar::Wire(_) => Vec::new(),
        }
    }

    fn unread(&self) -> &'static [&'static str] {
        if self.model.is_empty() { &[] } else { &["damage"] }
    }

    fn reduced(&self) -> bool {
        self.precision.reduced()
    }

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        if self.model.is_empty() {
            return Ok(vec![backend::digest(Faithful::embedded_digest()), self.precision.family()]);
        }
        self.precision.outside(&self.model)
    }

    fn gives(&self, seen: &Shapes) -> Vec<Shape> {
        vec![self.enlarged(seen).map_or(Shape::Unknown(Type::Image), |(_, _, shape)| shape)]
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let unknown = Forecast::of(Shape::Unknown(Type::Image));
        let Some((size, scale, shape)) = self.enlarged(seen) else { return unknown };
        let Ok(way) = self.way(scale, self.precision) else { return unknown };
        let mut forecast = match &way {
            Way::Embedded(factor) => cost(size, *factor, self.tile, seen.thrift, self.precision),
            Way::Brought(brought, passes) => {
                let (flops, working_bytes, tiles) =
                    brought.cost(size, *passes, self.tile, |edge| seen.thrift.edge(edge));
                Forecast { outputs: Vec::new(), flops, working_bytes, tiles }
            }
        };
        let between = enlarged(size, way.factor());
        if shape.size() != Some(between) {
            forecast.working_bytes += between.area() * 12;
        }
        forecast.outputs = vec![shape];
        forecast
    }

    fn reach(&self, seen: &Shapes) -> Option<Reach> {
        let Scalar::Given(scale) = self.scale else { return None };
        let way = self.way(scale, self.precision).ok()?;
        let radius = match &way {
            Way::Embedded(_) => self.precision.faithful().ok()?.radius(),
            Way::Brought(brought, passes) => brought.radius(*passes)?,
        };
        let radius = radius + spread::reach(seen.first_picture()?.channels());
        // Between whole factors the network's picture is resampled.
        let halo = if f64::from(way.factor()) == scale { radius.max(RESAMPLED) } else { radius + RESAMPLED };
        Some(Reach { fields: vec!["image"], halo })
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let damage = cx.optional(&self.damage)?;
        let scale = cx.number(&self.scale)?;
        let way = self.way(scale, self.precision.within(cx))?;
        let rgb = match &way {
            Way::Embedded(Factor::X1) if backend::condition(damage.as_deref()) == Default::default() => {
                return Ok((*image).clone());
            }
            Way::Embedded(factor) => enlarge(cx, &image, damage.as_deref(), *factor, self.tile, self.precision)?,
            Way::Brought(brought, passes) => brought.run(cx, &image, *passes, self.tile)?,
        };
        // The whole picture and what is seen of it, before and after.
        let (frame, seen) = (cx.frame(image.size()), cx.place(image.size()));
        let to = frame.scaled(scale);
        let part = seen.stretched(frame, to);
        let between = enlarged(frame, way.factor());
        let mut samples = if between == to {
            rgb
        } else {
            let window = Window { frame: between, seen: seen.times(way.factor()), to, part };
            let mut samples = crate::pixel::room(part.size().pixels() * image.channels())?;
            for plane in rgb.chunks_exact(window.seen.size().pixels()) {
                samples.extend(stretch::plane(plane, &window, Filter::Lanczos3)?);
            }
            samples
        };
        if let Some(alpha) = image.alpha() {
            let scaled = stretch::plane(alpha, &Window { frame, seen, to, part }, Filter::Bicubic)?;
            samples.extend(scaled.into_iter().map(|v| v.clamp(0.0, 1.0)));
        }
        let mut metadata = image.metadata.clone();
        if metadata.jpeg_quality.is_some() {
            // The steps of the file no longer lie on these pixels.
            Arc::make_mut(&mut metadata).jpeg_quality = None;
        }
        Ok(Image::new(part.size(), image.channels(), samples, metadata))
    }
}

/// Size after a whole factor.
fn enlarged(size: Size, factor: u32) -> Size {
    Size::new(size.width.saturating_mul(factor), size.height.saturating_mul(factor))
}

/// What a run of the faithful network costs; without outputs.
pub(crate) fn cost(size: Size, factor: Factor, tile: u32, thrift: Thrift, precision: Precision) -> Forecast {
    let Ok(net) = precision.faithful() else { return Forecast::default() };
    let walk = Walk { edge: thrift.edge(walk::edge(tile, size)), margin: net.radius() };
    let (width, height) = walk.widest(size);
    Forecast {
        outputs: Vec::new(),
        flops: net.flops_per_pixel(factor) * walk.pixels(size),
        working_bytes: net.bytes_at_work(width, height, factor),
        tiles: walk.tiles(size),
    }
}

/// The colours of a picture, enlarged by the faithful network.
pub(crate) fn enlarge(
    cx: &Cx<'_>,
    image: &Image,
    damage: Option<&Damage>,
    factor: Factor,
    tile: u32,
    precision: Precision,
) -> NodeResult<Vec<f32>> {
    let rgb = backend::colours(image);
    let rgb = spread::colours(image, &rgb).map_or(rgb, Cow::Owned);
    let place = cx.place(image.size());
    let picture = backend::picture(&rgb, image.size(), (place.x, place.y))?;
    let mut watch = Watched { cx, part: 0, parts: 1 };
    let net = precision.within(cx).faithful()?;
    let edge = cx.edge(walk::edge(tile, image.size()));
    net.enlarge(picture, backend::condition(damage), factor, edge, &mut watch).map_err(backend::failure)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_ends_at_four() {
        let at = |scale: f64| Upscale { scale: scale.into(), ..Upscale::default() };
        for good in [1.0, 1.5, 2.0, 3.3, 4.0] {
            assert!(at(good).check().is_empty(), "{good}");
        }
        for bad in [0.5, 4.01, 16.0, f64::NAN, f64::INFINITY] {
            let failures = at(bad).check();
            assert_eq!(failures.len(), 1, "{bad}");
            assert_eq!(failures[0].field.as_deref(), Some("scale"));
            assert!(failures[0].hint.as_deref().is_some_and(|hint| hint.contains("Repeat")));
        }
    }
}
