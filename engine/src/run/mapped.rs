//! A node that takes one tile, run on each of many.

use super::{
    Event, How,
    coordinator::Coordinator,
    job::{Job, Made, StepFailure},
};
use crate::{
    Failure, NodeResult,
    node::Inputs,
    value::{Image, Rect, Size, Tile, Tiles, Type, Value},
};
use std::sync::Arc;

impl Coordinator<'_> {
    /// Runs a node once per tile. What spans the picture besides is cropped to the tile; it may be a part of it, which then
    /// `covers` only what the tiles see.
    pub(super) fn map(
        &self,
        job: &Job<'_>,
        node: usize,
        fields: &[(&str, &str)],
        inputs: &Inputs,
        covers: Option<Rect>,
        progress: &(dyn Fn(u64, u64) + Sync),
    ) -> Result<Made, StepFailure> {
        let wires = &self.graph.nodes[node].wires;
        let enters_as_image = |name: &str| wires.iter().any(|w| w.name == name && w.takes == Type::Image);
        let grid = grid(inputs, &enters_as_image).map_err(|failure| (None, failure))?;
        let count = grid.items.len();
        let mut done: Vec<Option<Made>> = (0..count).map(|_| None).collect();
        // What another process is at is left for later; it will be there by then, or is computed twice. Nobody waits in
        // here, for a waiting thread may hold what it waits for.
        for insist in [false, true] {
            for (number, tile) in grid.items.iter().enumerate() {
                if done[number].is_some() {
                    continue;
                }
                let failed = |failure| (Some((number + 1, count, tile.core)), failure);
                let one = on_tile(inputs, &grid, number, covers, &enters_as_image);
                let finished = done.iter().flatten().count() as u64;
                let within = |done: u64, total: u64| {
                    progress(finished * total.max(1) + done, count as u64 * total.max(1));
                };
                let place = (tile.outer, grid.frame);
                let key = job.key(fields, &one).map(|key| key.on_tile(tile.outer, grid.frame));
                let made = job.make(key.as_ref(), !insist, || {
                    let values = job.run(key.as_ref(), &one, Some(place), &within).map_err(failed)?;
                    Ok(Made::new(values, How::Computed, None))
                })?;
                let Some(made) = made else { continue };
                let (id, kept) = (self.graph.nodes[node].id.as_str(), made.how == How::Kept);
                done[number] = Some(made);
                // A tile that is told of is never computed again.
                self.world.store.settle();
                (self.world.listen)(Event::Tile { id, core: tile.core, kept });
                progress(done.iter().flatten().count() as u64, count as u64);
            }
        }
        let mut tiles = Vec::with_capacity(count);
        let mut ports: Vec<Tiles> = Vec::new();
        for (number, (tile, made)) in grid.items.iter().zip(done.into_iter().flatten()).enumerate() {
            let failed = |failure| (Some((number + 1, count, tile.core)), failure);
            tiles.extend(made.parts.map(|parts| (tile.core, parts, made.how == How::Kept)));
            for (port, value) in made.values.into_iter().enumerate() {
                gather(&mut ports, port, tile, grid.frame, value).map_err(failed)?;
            }
        }
        let kept = tiles.iter().filter(|(_, _, kept)| *kept).count();
        let values = ports.into_iter().map(|tiles| Value::Tiles(Arc::new(tiles))).collect();
        Ok(Made { tiles, ..Made::new(values, How::Mapped { computed: count - kept, kept }, None) })
    }
}

/// The tiles that a mapped node runs on. All that come in as pictures must be cut alike.
fn grid(inputs: &Inputs, enters_as_image: &dyn Fn(&str) -> bool) -> NodeResult<Arc<Tiles>> {
    let mut grids = inputs.iter().filter_map(|(name, value)| match value {
        Value::Tiles(tiles) if enters_as_image(name) => Some(tiles),
        _ => None,
    });
    let Some(grid) = grids.next() else { return Err(Failure::internal("a mapped node got no tiles")) };
    let same = |other: &Tiles| {
        other.frame == grid.frame
            && other.items.len() == grid.items.len()
            && other.items.iter().zip(&grid.items).all(|(a, b)| a.core == b.core && a.outer == b.outer)
    };
    if !grids.all(|other| same(other)) {
        let message = "the tiles that come in are cut in different ways";
        return Err(Failure::new(crate::Blame::Graph, message).hint("cut all of them with one `Tile`"));
    }
    Ok(grid.clone())
}

/// The inputs of a mapped node on one tile.
fn on_tile(
    inputs: &Inputs,
    grid: &Tiles,
    number: usize,
    covers: Option<Rect>,
    enters_as_image: &dyn Fn(&str) -> bool,
) -> Inputs {
    let covers = covers.unwrap_or(grid.frame.rect());
    let part = |(name, value): (&String, &Value)| {
        let part = match value {
            Value::Tiles(tiles) if enters_as_image(name) => Value::Image(tiles.items[number].pixels.clone()),
            other => other.crop_to(covers.size(), grid.items[number].outer.relative_to(covers)),
        };
        (name.clone(), part)
    };
    inputs.iter().map(part).collect()
}

/// Adds what a mapped node gave for a tile to the tiles of its port.
fn gather(ports: &mut Vec<Tiles>, port: usize, tile: &Tile, frame: Size, value: Value) -> NodeResult<()> {
    let Value::Image(pixels) = value else {
        return Err(Failure::internal("a mapped node gave something else than a picture"));
    };
    let factor = growth(tile, &pixels)?;
    let frame = frame.times(factor);
    if ports.len() <= port {
        ports.push(Tiles { frame, items: Vec::new() });
    }
    if ports[port].frame != frame {
        return Err(Failure::internal("tiles grew by different factors"));
    }
    ports[port].items.push(Tile { core: tile.core.times(factor), outer: tile.outer.times(factor), pixels });
    Ok(())
}

/// By how much a tile grew in a node.
fn growth(tile: &Tile, pixels: &Image) -> NodeResult<u32> {
    let factor = (pixels.size().width / tile.outer.width.max(1)).max(1);
    if tile.outer.size().times(factor) == pixels.size() {
        return Ok(factor);
    }
    let message = format!("a tile of {} became {}; tiles grow by whole factors", tile.outer.size(), pixels.size());
    Err(Failure::new(crate::Blame::Graph, message).hint("put the tiles together before this node"))
}
