//! The network over a whole picture.

use super::net::Net;
use crate::layers::{Pool, Precision};
use crate::tiles::tile_by_tile;
use crate::{DamageCondition, Factor, Picture, Result, Watch, bicubic, planes};

/// See [`super::Faithful::enlarge`].
pub(super) fn enlarge(
    net: &Net,
    picture: Picture<'_>,
    damage: DamageCondition,
    factor: Factor,
    tile: u32,
    watch: &mut dyn Watch,
) -> Result<Vec<f32>> {
    let (scale, mut pool) = (factor.get() as usize, Pool::default());
    tile_by_tile(
        picture.region()?,
        tile,
        scale,
        watch,
        || bicubic(picture, factor),
        |cell, out| {
            let mut input = pool.map(cell.grown(net.radius()), Net::INPUTS, Precision::F32)?;
            planes::fill(&mut input, picture.rgb, &damage.planes())?;
            net.residual(input, cell, factor, &mut pool, |rows| {
                planes::add(rows, cell.within(rows.region), scale, out);
            })
        },
    )
}
