use crate::{
    backend::{self, Precision},
    brought::Brought,
    pixel::spread,
    upscale,
};
use engine::{
    Blame, Cx, Failure, Forecast, In, Node, NodeResult, Outputs, Reach, Scalar, Shape, Shapes, bail,
    digest::Digest,
    value::{Damage, Image},
};
use models::{Factor, Faithful};
use rayon::prelude::*;
use std::sync::Arc;

engine::node! {
    /// Removes measured noise, JPEG blocks and blur, at the picture's own size.
    ///
    /// Runs the embedded faithful network without enlargement. A picture that `damage` does not want restored is handed on
    /// as it is, bit by bit. Alpha is not touched. `Upscale` restores on its own when it is given the damage; this node
    /// is for what comes before other nodes, or for restoring alone.
    ///
    /// With `model` another network does it: one that does not enlarge, such as a DnCNN, out of a file (see `Upscale`). It is not told
    /// the damage, which need not be measured then, and runs whether the picture is to be restored or not.
    pub struct Restore, version 1 {
        /// Picture to restore.
        image: In<Image>,
        /// What was measured of its damage; the embedded network needs it.
        damage: Option<In<Damage>>,
        /// Another network than the embedded one: the name of a model that is kept, or a file. Empty is the embedded one.
        #[schemars(extend("x-outside" = true))]
        model: String,
        /// Share of the restored picture in the result, 0 to 1.
        #[schemars(range(min = 0.0, max = 1.0))]
        strength: Scalar = Scalar::Given(1.0),
        /// Edge of the tiles that the network works on, in pixels. Changes time and memory, never a pixel. A picture that is larger
        /// by half or less is one tile, and networks out of files that would compute little but margins take larger ones.
        #[schemars(range(min = 16, max = 4096))]
        tile: u32 = Faithful::TILE,
        /// Numbers that the network computes in.
        precision: Precision = Precision::Auto,
    }
}

impl Restore {
    /// The network that `model` names, if it names one.
    fn brought(&self, precision: Precision) -> NodeResult<Option<Brought>> {
        if self.model.is_empty() {
            return Ok(None);
        }
        let brought = Brought::new(&self.model, precision)?;
        if brought.scale() != 1 {
            bail!(model, "the model `{}` enlarges by {}", self.model, brought.scale();
                hint: "name it in an `Upscale`; this node takes models that keep the size");
        }
        Ok(Some(brought))
    }
}

impl Node for Restore {
    type Out = Image;
    const HEAVY: bool = true;
    const NETWORK: bool = true;

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
        Forecast::like(seen.first_picture(), <Image as Outputs>::PORTS).outputs
    }

    fn forecast(&self, seen: &Shapes) -> Forecast {
        let cost = seen.picture_size().map(|size| match self.brought(self.precision) {
            Ok(Some(brought)) => {
                let (flops, working_bytes, tiles) = brought.cost(size, 1, self.tile, |edge| seen.thrift.edge(edge));
                Forecast { outputs: Vec::new(), flops, working_bytes, tiles }
            }
            _ => upscale::cost(size, Factor::X1, self.tile, seen.thrift, self.precision),
        });
        Forecast { outputs: self.gives(seen), ..cost.unwrap_or_default() }
    }

    fn reach(&self, seen: &Shapes) -> Option<Reach> {
        let radius = match self.brought(self.precision).ok()? {
            Some(brought) => brought.radius(1)?,
            None => self.precision.faithful().ok()?.radius(),
        };
        let halo = radius + spread::reach(seen.first_picture()?.channels());
        Some(Reach { fields: vec!["image"], halo })
    }

    fn check(&self) -> Vec<Failure> {
        let strength = match self.strength {
            Scalar::Given(strength) => check_strength(strength).err(),
            Scalar::Wire(_) => None,
        };
        let unmeasured = self.model.is_empty() && self.damage.is_none();
        strength.into_iter().chain(unmeasured.then(|| damage_missing(Blame::Graph))).collect()
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Image> {
        let image = cx.get(&self.image)?;
        let damage = cx.optional(&self.damage)?;
        let strength = cx.number(&self.strength)?;
        check_strength(strength)?;
        if strength == 0.0 {
            return Ok((*image).clone());
        }
        let mut rgb = match self.brought(self.precision.within(cx))? {
            Some(brought) => brought.run(cx, &image, 1, self.tile)?,
            None => {
                // A wire to an input of the graph may turn out to bring nothing.
                let damage = damage.ok_or_else(|| damage_missing(Blame::Input))?;
                if !damage.restore {
                    return Ok((*image).clone());
                }
                upscale::enlarge(cx, &image, Some(&damage), Factor::X1, self.tile, self.precision)?
            }
        };
        if strength < 1.0 {
            let share = strength as f32;
            rgb.par_iter_mut().zip(backend::colours(&image).par_iter()).for_each(|(new, old)| {
                *new = old + share * (*new - old);
            });
        }
        let mut restored = image.with_rgb(rgb);
        if restored.metadata.jpeg_quality.is_some() {
            Arc::make_mut(&mut restored.metadata).jpeg_quality = None;
        }
        Ok(restored)
    }
}

/// Nobody says what is to be restored.
fn damage_missing(blame: Blame) -> Failure {
    Failure::new(blame, "without `model` the embedded network restores, which has to be told the damage")
        .at("damage")
        .hint("wire a `DegradeDetect` to `damage`, or name a `model`")
}

fn check_strength(strength: f64) -> NodeResult<()> {
    if !(0.0..=1.0).contains(&strength) {
        bail!(strength, "`strength` cannot be {}", strength; hint: "use 0 (keep the picture) to 1 (restore it fully)");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_damage_is_wanted_by_the_embedded_network_alone() {
        let failures = Restore::default().check();
        assert_eq!(failures.len(), 1);
        assert_eq!((failures[0].blame, failures[0].field.as_deref()), (Blame::Graph, Some("damage")));
        assert!(failures[0].hint.as_deref().is_some_and(|hint| hint.contains("DegradeDetect")));
        let brought = Restore { model: "dncnn".into(), ..Restore::default() };
        assert!(brought.check().is_empty());
    }
}
