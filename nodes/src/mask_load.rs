use crate::{files, limits::Limits};
use engine::{
    Cx, Forecast, Node, NodeResult, Shape, Shapes,
    digest::Digest,
    value::{Image, Mask, Type},
};
use rayon::prelude::*;

engine::node! {
    /// Reads a mask from a picture file: white is 1, black is 0.
    ///
    /// Colours are turned to grey (BT.601 luma). Alpha is ignored, unless every pixel is white: then the file says what it
    /// means by its alpha, as brushes on a transparent layer do, and alpha becomes the mask. The same formats are read
    /// as by `Load`.
    pub struct MaskLoad, version 1 {
        /// The file, from the folder that the command runs in.
        #[schemars(extend("x-outside" = true))]
        path: String,
        /// What is refused, as in `Load`.
        limits: Limits,
    }
}

/// The mask that a picture stands for.
fn mask(image: &Image) -> Mask {
    let white = || image.rgb().par_iter().all(|&v| v >= 254.5 / 255.0);
    let samples = match image.alpha() {
        Some(alpha) if white() => alpha.to_vec(),
        _ => image.luma().into_iter().map(|v| v.clamp(0.0, 1.0)).collect(),
    };
    Mask::new(image.size(), samples)
}

impl Node for MaskLoad {
    type Out = Mask;

    fn outside(&self) -> NodeResult<Vec<Digest>> {
        Ok(vec![files::digest(&self.path, &self.limits)?])
    }

    fn forecast(&self, _: &Shapes) -> Forecast {
        match files::probe(&self.path, &self.limits) {
            Ok(header) => {
                let picture = Shape::Image(header.size, header.channels).bytes();
                Forecast { working_bytes: picture + picture / 2, ..Forecast::of(Shape::Mask(header.size)) }
            }
            Err(_) => Forecast::of(Shape::Unknown(Type::Mask)),
        }
    }

    fn run(&self, cx: &mut Cx<'_>) -> NodeResult<Mask> {
        cx.checkpoint()?;
        Ok(mask(&files::read(&self.path, &self.limits, 0)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::value::Size;

    #[test]
    fn alpha_counts_only_on_white() {
        let size = Size::new(2, 1);
        let picture = |grey: f32| Image::new(size, 4, [vec![grey; 6], vec![0.25, 1.0]].concat(), Default::default());
        assert_eq!(mask(&picture(1.0)).samples(), [0.25, 1.0]);
        assert!(mask(&picture(0.5)).samples().iter().all(|v| (v - 0.5).abs() < 1e-6));
    }
}
