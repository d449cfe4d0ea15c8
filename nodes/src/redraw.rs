mod choices;

use crate::{
    backend::{self, Precision, Watched},
    files::painting::{self, Networks, Weighted},
};
use choices::{Inversion, Place, Sampler, Spacing, Tiling};
use engine::{
    Cx, Failure, Forecast, In, Node, NodeResult, Outputs, Shape, Shapes,
    digest::{Digest, Digester},
    value::{Field, Guide, Image, Size, Type},
};
use models::{
    Watch,
    stable_diffusion::{self as sd, Amount, Easel, Redrawing, Sight},
};
use rayon::prelude::*;
use std::sync::Arc;

/// Largest square in which edges are looked for.
const MOST_KERNEL: u32 = 1024;
/// Most steps that are worth their time.
const MOST_STEPS: u32 = 150;
/// Below this creativity the redrawn picture fades into the one that came in, which no autoencoder has touched.
const ONSET: f32 = 0.1;

engine::node! {
    /// Redraws a picture with Stable Diffusion, as much as the guide allows at each place.
    ///
    /// The picture goes through the autoencoder of a checkpoint, gets noise as strong as the guide's **creativity** allows, and is drawn
    /// again out of it, step by step, towards the prompt. Where creativity differs from place to place each takes part in the last
    /// steps only, by its share (differential diffusion, Levin and Fried 2023), so painted masks have soft edges that are honoured. Where
    /// creativity is 0 the picture keeps its pixels, bit by bit, and tiles in which it is 0 are not drawn at all.
    ///
    /// **Resemblance** is the weight of the ControlNets (`controls`), which see the picture that comes in; their deeper layers count less
    /// (0.825 for each), so that they keep the structure and leave the texture free. **Detail** is the strength of the guidance: `guidance`
    /// at 0.5, none at 0, twice as much at 1; LoRAs with `detail: true` follow it as well.
    ///
    /// The network looks at tiles. With `tiling: Independent` they are drawn one after the other, half of them first and then those
    /// between, which see what their neighbours have become; each is kept on its own, so a run that was stopped goes on where it was, and after a
    /// stroke in the mask only the tiles that it touches, and their neighbours, are drawn again. Noise belongs to the place in the picture.
    ///
    /// With `sampler: OneStep` and a LoRA for it the picture is restored at once, without noise. Of PiSA-SR (Sun et al. 2024), which has
    /// two halves, resemblance is then the weight of the one that takes damage away, and creativity that of the one that adds
    /// detail; of OSEDiff (Wu et al. 2024), which has one strength, creativity is how much of the answer counts. `guidance: 1` is
    /// what both are made for.
    ///
    /// With `inversion` the noise that the drawing begins with is not drawn but found: the steps are gone upwards first, from the picture to
    /// the noise out of which it would come back (DDIM inversion, Song et al. 2021). Where the picture is flat it is mixed with drawn noise,
    /// by `renoise`.
    ///
    /// Checkpoints of Stable Diffusion 1, 2 and XL are told from their tensors: single files (`.safetensors`, `.ckpt`) or folders of
    /// diffusers. Without a checkpoint there is nothing to draw with: `Diffuse` is the node that needs none. Alpha is not touched.
    pub struct Redraw, version 1 {
        /// Picture to redraw, already at its final size.
        image: In<Image>,
        /// How much, where.
        guide: In<Guide>,
        /// The checkpoint: the name of an installed model, a file, or a folder of diffusers.
        checkpoint: String = "sd15".to_owned(),
        /// Another autoencoder than the checkpoint's own, such as `sd15-vae`; small ones (`taesd`) are less exact and several times faster. Empty
        /// is its own.
        vae: String,
        /// ControlNets that see the picture and keep its structure, each with a weight.
        controls: Vec<Weighted>,
        /// LoRAs that are merged into the networks, each with a weight.
        loras: Vec<Weighted>,
        /// Embeddings (textual inversion) that prompts may name by their file's name.
        embeddings: Vec<String>,
        /// What is wanted. `(word:1.2)` weighs a word, `[word]` weighs it less, `BREAK` begins a new part.
        prompt: String,
        /// What is not wanted.
        negative: String,
        /// Prompts for parts of the picture: the last one that holds the middle of a tile counts for it.
        places: Vec<Place>,
        /// Layers of the text encoder that are left out at its end.
        #[schemars(range(min = 0, max = 11))]
        clip_skip: u32 = 0,
        /// The way from noise to a picture.
        sampler: Sampler = Sampler::Dpm3mSde,
        /// How the noise levels are spaced.
        spacing: Spacing = Spacing::Karras,
        /// Steps of a drawing from nothing, 1 to 150; at creativity 0.35 the last 35 % of them are taken.
        #[schemars(range(min = 1, max = 150))]
        steps: u32 = 18,
        /// Whether the noise is one that leads back to the picture, such as `(renoise: 0.5, kernel: 64)`: contours stay, and creativity can
        /// be higher. It takes half as long again. Left out, all noise is drawn.
        inversion: Option<Inversion>,
        /// Scale of the guidance towards the prompt where detail is 0.5.
        #[schemars(range(min = 1.0, max = 50.0))]
        guidance: f64 = 6.0,
        /// Picks one of the plausible answers: the same seed gives the same picture.
        seed: u64 = 0,
        /// How the tiles belong together.
        tiling: Tiling = Tiling::Independent,
        /// Largest width of a tile in pixels; what the network was trained on is best.
        #[schemars(range(min = 64, max = 4096))]
        tile_width: u32 = 896,
        /// Largest height of a tile in pixels.
        #[schemars(range(min = 64, max = 4096))]
        tile_height: u32 = 1152,
        /// Pixels by which tiles overlap at least; an eighth of the tile when left out.
        #[schemars(range(min = 0, max = 2048))]
        overlap: Option<u32>,
        /// Numbers that the networks compute in.
        precision: Precision = Precision::Auto,
    }
}

impl Redraw {
    /// The numbers that its networks compute in.
    fn numbers(&self) -> Precision {
        self.precision.of_large()
    }

    /// The files that it draws with.
    fn networks(&self) -> Networks<'_> {
        Networks {
            checkpoint: &self.checkpoint,
            vae: &self.vae,
            controls: &self.controls,
            loras: &self.loras,
            embeddings: &self.embeddings,
        }
    }

    /// What decides about a tile besides what it sees. `detail` is what LoRAs may follow, which the whole picture decides.
    fn settings(&self, d: &mut Digester, text: usize, detail: f64) {
        d.u64(self.seed);
        d.u64(u64::from(self.steps));
        d.u64(self.sampler as u64);
        d.u64(self.spacing as u64);
        // Where how much of the noise is drawn is among what a tile sees.
        d.u64(u64::from(self.inversion.is_some()));
        d.u64(self.tiling as u64);
        d.u64(u64::from(self.clip_skip));
        d.text(self.prompts().nth(text).unwrap_or_default());
        d.text(&self.negative);
        for weighted in self.controls.iter().chain(&self.loras) {
            weighted.digest_into(d);
        }
        self.embeddings.iter().for_each(|name| d.text(name));
        if self.loras.iter().any(|lora| lora.detail) {
            d.f64(detail);
        }
        if self.tiling != Tiling::Independent {
            // What is kept is all of the picture: how it is cut, and what is wanted where, is part of it.
            let (across, down) = self.overlap();
            [self.tile_width, self.tile_height, across, down].into_iter().for_each(|edge| d.u64(edge.into()));
            for Place { left, top, right, bottom, prompt } in &self.places {
                [left, top, right, bottom].into_iter().for_each(|edge| d.f64(f64::from(*edge)));
                d.text(prompt);
            }
        }
    }

    /// The prompt for the whole, and those for parts of it.
    fn prompts(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.prompt).chain(self.places.iter().map(|place| &place.prompt)).map(String::as_str)
    }

    /// The way to the new picture.
    fn way(&self) -> sd::Way {
        let Some(sampler) = self.sampler.told() else { return sd::Way::OneStep };
        let (count, spacing) = (self.steps as usize, self.spacing.told());
        sd::Way::Steps { count, sampler, spacing, inversion: self.inversion.map(Inversion::told) }
    }

    /// Least overlap of tiles in pixels, across and down.
    fn overlap(&self) -> (u32, u32) {
        self.overlap.map_or((self.tile_width / 8, self.tile_height / 8), |overlap| (overlap, overlap))
    }

    /// The redrawn colours of a picture.
    fn redrawn(&self, cx: &mut Cx<'_>, image: &Image, guide: &Guide) -> NodeResult<Vec<f32>> {
        let size = image.size();
        let detail = detail_of(guide);
        let painter = painting::painter(&self.networks(), self.numbers().within(cx), detail)?;
        let text = |prompt: &str| painter.text(prompt, self.clip_skip as usize).map_err(backend::failure);
        let mut wanted = vec![(sd::Place::WHOLE, text(&self.prompt)?)];
        for place in &self.places {
            let Place { left, top, right, bottom, ref prompt } = *place;
            wanted.push((sd::Place { left, top, right, bottom }, text(prompt)?));
        }
        let rgb = backend::colours(image);
        let job = Redrawing {
            picture: backend::picture(&rgb, size, (0, 0))?,
            creativity: amount(&guide.creativity),
            resemblance: amount(&guide.resemblance),
            detail: amount(&guide.detail),
            guidance: self.guidance as f32,
            way: self.way(),
            tiling: self.tiling.told(),
            tile: (self.tile_width, self.tile_height),
            overlap: self.overlap(),
            seed: self.seed,
            wanted: &wanted,
            unwanted: &text(&self.negative)?,
        };
        let mut easel = Kept { node: self, detail, cx };
        painter.redraw(&job, &mut easel).map_err(backend::failure)
    }
}

/// Tiles that are kept one by one, so that a run that was stopped goes on behind them, and a change costs only those that see it.
struct Kept<'a, 'b, 'c> {
    node: &'a Redraw,
    detail: f64,
    cx: &'b mut Cx<'c>,
}

impl Easel for Kept<'_, '_, '_> {
    fn tile(
        &mut self,
        sight: &Sight<'_>,
        redraw: &mut dyn FnMut(&mut dyn Watch) -> models::Result<Vec<f32>>,
    ) -> models::Result<Vec<f32>> {
        let at = sight.pixels();
        let key = |d: &mut Digester| {
            self.node.settings(d, sight.text(), self.detail);
            [at.x, at.y, at.width, at.height].into_iter().for_each(|number| d.u64(number as u64));
            sight.values().into_iter().for_each(|values| d.samples(values));
        };
        let (part, parts) = sight.part();
        // Models have no word for the failures of a store.
        let mut failed = None;
        let tile = self.cx.memo::<Image>("tile", key, |cx| {
            let mut watch = Watched { cx, part: part as u64, parts: parts as u64 };
            match redraw(&mut watch) {
                Ok(rgb) => Ok(Image::new(Size::new(at.width as u32, at.height as u32), 3, rgb, Arc::default())),
                Err(error) => {
                    failed = Some(error.clone());
                    Err(backend::failure(error))
                }
            }
        });
        match tile {
            Ok(tile) => Ok(tile.samples().to_vec()),
            Err(_) => Err(failed.unwrap_or(models::Error::Cancelled)),
        }
    }
}

/// A map of the guide, as the models know it.
fn amount(field: &Field) -> Amount<'_> {
    match field {
        Field::Uniform(value) => Amount::Uniform(*value),
        Field::Map(mask) => Amount::Map(mask.samples()),
    }
}

/// How much stronger than natural the LoRAs are that follow the detail: networks have one strength for the whole picture.
fn detail_of(guide: &Guide) -> f64 {
    f64::from(guide.detail.highest()) / 0.5
}

impl Node for Redraw {
    type Out = Image;
    const HEAVY: bool = true;
    const NETWORK: bool = true;

    fn check(&self) -> Vec<Failure> {
        let mut found = Vec::new();
        let mut wrong = |field: &'static str, value: String, hint: String| {
            found.push(Failure::new(engine::Blame::Graph, format!("`{field}` cannot be {value}")).at(field).hint(hint));
        };
        if !(1..=MOST_STEPS).contains(&self.steps) {
            wrong("steps", self.steps.to_string(), format!("use 1 to {MOST_STEPS}; 18 is a good number"));
        }
        if !(1.0..=50.0).contains(&self.guidance) {
            wrong("guidance", self.guidance.to_string(), "use 1 to 50; 6 is a good number".into());
        }
        if self.clip_skip > 11 {
            wrong("clip_skip", self.clip_skip.to_string(), "use 0 to 11".into());
        }
        let (width, height) = (self.tile_width, self.tile_height);
        for (field, edge) in [("tile_width", width), ("tile_height", height)] {
            if !(64..=4096).contains(&edge) {
                wrong(field, edge.to_string(), "use 64 to 4096 pixels".into());
            }
        }
        let (across, down) = self.overlap();
        if across > width / 2 || down > height / 2 {
            wrong("overlap", across.max(down).to_string(), "tiles overlap by half at most".into());
        }
        if let Some(Inversion { renoise, kernel }) = self.inversion {
            if !(0.0..=1.0).contains(&renoise) {
                wrong("inversion", format!("with renoise {renoise}"), "use 0 to 1; 0.5 is a good number".into());
            }
            if kernel > MOST_KERNEL {
                wrong("inversion", format!("with kernel {kernel}"), format!("use 0 to {MOST_KERNEL} pixels"));
            }
            if self.sampler == Sampler::OneStep {
                wrong("inversion", "used in one step".into(), "there is no noise with `sampler: OneStep`".into());
            }
        }
        for place in &self.places {
            let Place { left, top, right, bottom, .. } = *place;
            let share = |value: f32| (0.0..=1.0).contains(&value);
            if ![left, top, right, bottom].into_iter().all(share) || left >= right || top >= bottom {
                let value = format!("from {left}, {top} to {right}, {bottom}");
                wrong("places", value, "edges are shares of the picture from 0 to 1, left before right".into());
            }
        }
        if self.checkpoint.is_empty() {
            wrong(
                "checkpoint",
                "empty".into(),
                "name a checkpoint; `upweave models list` shows those that there are".into(),
            );
        }
        found.extend(self.controls.iter().filter_map(|weighted| weighted.wrong("controls")));
        found.extend(self.loras.iter().filter_map(|weighted| weighted.wrong("loras")));
        found
    }

    fn reduced(&self) -> bool {
        self.numbers().reduced()
    }

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        let files = painting::digests(&self.networks())?;
        Ok(files.into_iter().chain([self.numbers().family()]).collect())
    }

    fn gives(&self, seen: &Shapes) -> Vec<Shape> {
        Forecast::like(seen.first_picture(), <Image as Outputs>::PORTS).outputs
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let Some(size) = seen.first_picture().and_then(Shape::size) else {
            return Forecast::of(Shape::Unknown(Type::Image));
        };
        let outputs = self.gives(seen);
        let creativity = match seen.get("guide") {
            Some(Shape::Guide(_, highest, _)) => *highest,
            _ => 1.0,
        };
        if creativity <= 0.0 {
            return Forecast { outputs, ..Forecast::default() };
        }
        let once = self.sampler == Sampler::OneStep;
        let needs = painting::needs(&self.networks(), self.numbers(), once);
        let most = (self.tile_width, self.tile_height);
        let (tiles, (width, height)) = sd::tiles_of((size.width, size.height), most, self.overlap());
        let tile = u64::from(width) * u64::from(height);
        // The autoencoder sees all of the picture at once where its tiles are drawn together.
        let whole = if self.tiling == Tiling::Independent { tile } else { size.area() };
        let steps = if once { 1.0 } else { (f64::from(self.steps) * creativity).floor().max(1.0) };
        // On the way up only what is wanted is told.
        let (upwards, edges) = if self.inversion.is_some() { (1.5, 4) } else { (1.0, 0) };
        Forecast {
            outputs,
            flops: (needs.flops_of_step * steps * upwards + needs.flops_of_trip) * (tile * tiles) as f64,
            // The networks, the maps of a tile, and three pictures: what came in, what was finished, and what is drawn.
            working_bytes: needs.weights
                + (tile * needs.of_step).max(whole * needs.of_trip)
                + size.area() * (36 + edges),
            tiles,
        }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let guide = cx.get(&self.guide)?;
        let size = image.size();
        if guide.size() != size {
            return Err(Failure::input(format!("the guide is over {}, but the picture is {size}", guide.size()))
                .at("guide")
                .hint("give `Guide` the same picture as `Redraw`"));
        }
        if guide.creativity.highest() <= 0.0 {
            return Ok((*image).clone());
        }
        let redrawn = self.redrawn(cx, &image, &guide)?;
        let mut out = (*image).clone();
        for (c, plane) in redrawn.chunks_exact(size.pixels()).enumerate() {
            out.plane_mut(c).par_iter_mut().zip(plane).enumerate().for_each(|(i, (value, new))| {
                let share = (guide.creativity.at(i) / ONSET).min(1.0);
                // Explicit, so that what may not change keeps its bits.
                if share >= 1.0 {
                    *value = *new;
                } else if share > 0.0 {
                    *value += share * (new - *value);
                }
            });
        }
        Ok(out)
    }
}
