//! What a part of an output needs of everything before it.
//!
//! From the outputs backwards every node is asked how far it looks. One that can give a part of its picture from a part of
//! what comes in runs on that part alone, with the place of it in its [`Cx`](crate::Cx), exactly as it would on a tile; all
//! others, and everything before them, run whole. Previews and strips of large pictures are both made this way.

use crate::{
    Blame, Cell, Connection, Failure, Forecast, Graph, GraphNode, Reach, Shape, Shapes, State, Step,
    plan::mapped_forecast,
    value::{Rect, Size},
};
use std::collections::HashMap;

/// The part of a picture that a node works on.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What is cut out of the pictures that come in, and their size.
    pub input: Rect,
    pub frame: Size,
    /// Of tiles that come in, those whose core meets this.
    pub cores: Rect,
    /// The fields through which they come in. Everything else comes in whole.
    pub fields: Vec<String>,
    /// What is kept of the picture that comes out: less than it gives, since its borders lack what lies beyond the cut.
    /// `None` for what gives no picture, such as a file, and for what runs once per tile.
    pub output: Option<Rect>,
    /// What it gives, of which `output` is kept.
    pub gives: Rect,
}

impl Part {
    /// What is cut out of the picture that a step gives; nothing when it gives the whole.
    pub(crate) fn covered(part: Option<&Self>) -> Option<Rect> {
        part.and_then(|part| part.output)
    }
}

/// What becomes of a step when parts of some pictures are wanted.
#[derive(Clone, Debug)]
pub(crate) enum Role {
    /// Nothing that is wanted depends on it.
    Unneeded,
    /// It runs, or is read, as a whole.
    Whole,
    /// It runs on a part.
    Part(Part, Forecast),
}

#[derive(Clone, Copy, Debug)]
enum Need {
    Whole,
    Part(Rect),
}

impl Need {
    fn and(self, other: Option<Self>) -> Self {
        match (self, other) {
            (_, None) => self,
            (Self::Part(a), Some(Self::Part(b))) => Self::Part(a.union(b)),
            _ => Self::Whole,
        }
    }
}

/// What is wanted of nodes: the part of a picture, or all of what is no picture.
pub(crate) type Wanted = HashMap<usize, Option<Rect>>;

/// What is wanted of the outputs when a region of them is.
///
/// # Errors
/// When the region leaves the picture of an output, with the node of that output.
pub(crate) fn wanted(graph: &Graph, region: Rect, steps: &[Step]) -> Result<Wanted, (usize, Failure)> {
    let mut wanted = HashMap::new();
    for step in steps.iter().filter(|step| graph.gives_output(step.node)) {
        let frame = step.picture().or_else(|| taken(&graph.nodes[step.node], &step.seen).map(|(frame, _)| frame));
        if let Some(frame) = frame {
            fits(region, frame).map_err(|failure| (step.node, failure))?;
        }
        wanted.insert(step.node, frame.map(|_| region));
    }
    Ok(wanted)
}

/// What becomes of every step when this is wanted.
pub(crate) fn roles(graph: &Graph, wanted: &Wanted, steps: &[Step]) -> Vec<Role> {
    let mut needs: HashMap<usize, Need> = HashMap::new();
    let mut roles = vec![Role::Unneeded; steps.len()];
    for (index, step) in steps.iter().enumerate().rev() {
        let node = &graph.nodes[step.node];
        let asked = wanted.get(&step.node).map(|part| part.map_or(Need::Whole, Need::Part));
        let need = match (asked, needs.get(&step.node).copied()) {
            (Some(asked), others) => asked.and(others),
            (None, Some(others)) => others,
            (None, None) => continue,
        };
        roles[index] = Role::Whole;
        if step.state != State::Compute {
            continue;
        }
        let part = match need {
            Need::Part(rect) => step_part(node, step, rect).filter(|part| !torn(node, part)),
            Need::Whole => None,
        };
        for wire in &node.wires {
            let Some((source, _)) = wire.source else { continue };
            let need = match &part {
                Some(part) if part.fields.contains(&wire.field) => match step.seen.get(&wire.field) {
                    Some(Shape::Tiles(..)) => Need::Part(part.cores),
                    _ => Need::Part(part.input),
                },
                _ => Need::Whole,
            };
            needs.insert(source, need.and(needs.get(&source).copied()));
        }
        if let Some(part) = part {
            let forecast = part_forecast(node, step, &part);
            roles[index] = Role::Part(part, forecast);
        }
    }
    count_cuts(graph, steps, &mut roles);
    roles
}

/// Adds what is copied because it is cut out of something larger: it is there beside what it was cut from.
fn count_cuts(graph: &Graph, steps: &[Step], roles: &mut [Role]) {
    let covers: HashMap<usize, Option<Rect>> = steps
        .iter()
        .zip(&*roles)
        .map(|(step, role)| match role {
            Role::Part(part, _) => (step.node, Part::covered(Some(part))),
            _ => (step.node, None),
        })
        .collect();
    for (step, role) in steps.iter().zip(roles) {
        let Role::Part(part, forecast) = role else { continue };
        for wire in &graph.nodes[step.node].wires {
            let (true, Some((source, _)), Some(shape)) =
                (part.fields.contains(&wire.field), wire.source, step.seen.get(&wire.field))
            else {
                continue;
            };
            let covered = covers.get(&source).copied().flatten().unwrap_or(part.frame.rect());
            if covered != part.input && !matches!(shape, Shape::Tiles(..)) {
                forecast.working_bytes += shape.cut_to(part.input).bytes();
            }
        }
        if let Some(kept) = part.output.filter(|kept| *kept != part.gives) {
            let kept = step.forecast.outputs.iter().map(|shape| shape.cut_to(kept).bytes()).sum();
            forecast.working_bytes = forecast.working_bytes.max(kept);
        }
    }
}

/// Whether one source comes in both cut and whole. It comes in whole then.
fn torn(node: &GraphNode, part: &Part) -> bool {
    let cut = |field: &str| part.fields.iter().any(|cut| cut == field);
    let torn = |wire: &Connection| node.wires.iter().any(|w| w.name == wire.name && cut(&w.field) != cut(&wire.field));
    node.wires.iter().any(torn)
}

/// The part that a step works on to give `wanted` of its picture, when it can.
fn step_part(node: &GraphNode, step: &Step, wanted: Rect) -> Option<Part> {
    let (_, own) = node.node()?;
    let Some(size) = step.picture() else {
        // What takes one picture to the outside takes the region of it.
        let (frame, field) = taken(node, &step.seen)?;
        let fields = vec![field.to_owned()];
        return Some(Part { input: wanted, frame, cores: wanted, fields, output: None, gives: wanted });
    };
    if node.mapped {
        return mapped_part(&step.seen, wanted, size);
    }
    match step.forecast.outputs.first()? {
        Shape::Tiles(_, _, cells) => tiles_part(own.reach(&step.seen)?, &step.seen, wanted, cells),
        _ => part(own.reach(&step.seen)?, &step.seen, wanted, size),
    }
}

/// Whether a node can give its picture in parts.
pub(crate) fn gives_parts(node: &GraphNode, step: &Step) -> bool {
    let one = matches!(step.forecast.outputs[..], [Shape::Image(..)]) && step.state == State::Compute;
    one && step.picture().and_then(|size| step_part(node, step, size.rect())).is_some_and(|part| !torn(node, &part))
}

/// The picture that a node without a picture of its own takes, and the field through which it does.
pub(crate) fn taken<'a>(node: &'a GraphNode, seen: &Shapes) -> Option<(Size, &'a str)> {
    node.wires.iter().find_map(|wire| match seen.get(&wire.field) {
        Some(Shape::Image(frame, _)) => Some((*frame, wire.field.as_str())),
        _ => None,
    })
}

/// The frame of the fields that a node can take cut, when they are all alike.
fn frame(reach: &Reach, seen: &Shapes) -> Option<Size> {
    let frame = seen.get(reach.fields.first()?)?.size()?;
    let alike = reach.fields.iter().all(|field| seen.get(field).and_then(Shape::size) == Some(frame));
    alike.then_some(frame)
}

fn owned(fields: &[&str]) -> Vec<String> {
    fields.iter().map(|field| (*field).to_owned()).collect()
}

/// For nodes that give a picture: what they look at around what is wanted.
fn part(reach: Reach, seen: &Shapes, wanted: Rect, size: Size) -> Option<Part> {
    let frame = frame(&reach, seen)?;
    let input = wanted.behind(frame, size).grown(reach.halo, frame);
    let gives = input.stretched(frame, size);
    Some(Part { input, frame, cores: input, fields: owned(&reach.fields), output: Some(wanted), gives })
}

/// For nodes that cut a picture into tiles: what the wanted tiles see.
fn tiles_part(reach: Reach, seen: &Shapes, wanted: Rect, cells: &[Cell]) -> Option<Part> {
    let frame = frame(&reach, seen)?;
    let input = seen_by(cells, wanted)?;
    Some(Part { input, frame, cores: input, fields: owned(&reach.fields), output: Some(wanted), gives: wanted })
}

/// For nodes that run once per tile: the wanted tiles, and of what spans the picture besides what they see.
fn mapped_part(seen: &Shapes, wanted: Rect, size: Size) -> Option<Part> {
    let (frame, cells) = seen.fields.values().find_map(|shape| match shape {
        Shape::Tiles(frame, _, cells) => Some((*frame, cells)),
        _ => None,
    })?;
    let factor = size.width / frame.width.max(1);
    if factor == 0 || frame.times(factor) != size {
        return None;
    }
    let fields = seen.fields.iter().filter(|(_, shape)| shape.size() == Some(frame)).map(|(field, _)| field.clone());
    let cores = wanted.behind(frame, size);
    let input = seen_by(cells, cores)?;
    Some(Part { input, frame, cores, fields: fields.collect(), output: None, gives: wanted })
}

/// What the tiles see whose core lies in the wanted part at all.
fn seen_by(cells: &[Cell], wanted: Rect) -> Option<Rect> {
    cells.iter().filter(|cell| cell.core.meets(wanted)).map(|cell| cell.outer).reduce(Rect::union)
}

/// What a step gives and costs on a part.
fn part_forecast(node: &GraphNode, step: &Step, part: &Part) -> Forecast {
    let Some((kind, own)) = node.node() else { return Forecast::default() };
    let mut seen = step.seen.clone();
    for field in &part.fields {
        if let Some(shape) = seen.fields.get_mut(field) {
            // Tiles keep the frame that they lie in, and what is cut to each of them does too.
            match shape {
                Shape::Tiles(..) => *shape = shape.cut_to(part.cores),
                _ if node.mapped => {}
                _ => *shape = shape.cut_to(part.input),
            }
        }
    }
    if node.mapped {
        return mapped_forecast(own, &seen, kind.ports().len());
    }
    let mut forecast = own.forecast(&seen);
    if let Some(wanted) = part.output {
        let cut = |shape: &Shape| match shape {
            Shape::Tiles(..) => shape.cut_to(wanted),
            _ => shape.cut_to(part.gives),
        };
        forecast.outputs = step.forecast.outputs.iter().map(cut).collect();
    }
    forecast
}

fn fits(region: Rect, frame: Size) -> Result<(), Failure> {
    let ends =
        |start: u32, length: u32, most: u32| start.checked_add(length).is_some_and(|end| length > 0 && end <= most);
    if ends(region.x, region.width, frame.width) && ends(region.y, region.height, frame.height) {
        return Ok(());
    }
    let Rect { x, y, width, height } = region;
    let message = format!("the part {x},{y},{width},{height} does not lie in the result, which has {frame} pixels");
    Err(Failure::new(Blame::Graph, message)
        .hint("give left edge, upper edge, width and height in pixels of the result"))
}
