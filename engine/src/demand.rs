//! What a part of an output needs of everything before it.
//!
//! From the outputs backwards every node is asked how far it looks. One that can give a part of its picture from a part of
//! what comes in runs on that part alone, with the place of it in its [`Cx`](crate::Cx), exactly as it would on a tile; all
//! others, and everything before them, run whole.

use crate::{
    Blame, Failure, Graph, Shape, Shapes, State, Step,
    value::{Rect, Size},
};
use std::collections::HashMap;

/// The part of a picture that a node works on.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    /// What is cut out of the pictures that come in, and their size.
    pub input: Rect,
    pub frame: Size,
    /// The fields through which they come in. Everything else comes in whole.
    pub fields: Vec<String>,
    /// What is kept of the picture that comes out: less than it gives, since its borders lack what lies beyond the cut.
    /// `None` for what gives no picture, such as a file.
    pub output: Option<(Rect, u32)>,
}

#[derive(Clone, Copy, Debug)]
enum Need {
    Whole,
    Part(Rect),
}

impl Need {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Part(a), Self::Part(b)) => Self::Part(a.union(b)),
            _ => Self::Whole,
        }
    }
}

/// Tells every step that will run on which part it works.
///
/// # Errors
/// When the region leaves the picture of an output, with the node of that output.
pub(crate) fn restrict(
    graph: &Graph,
    region: Rect,
    shapes: &HashMap<usize, Vec<Shape>>,
    steps: &mut [Step],
) -> Result<(), (usize, Failure)> {
    let mut needs: HashMap<usize, Need> = HashMap::new();
    let ask = |needs: &mut HashMap<usize, Need>, node: usize, need: Need| {
        let all = needs.get(&node).map_or(need, |known| known.and(need));
        needs.insert(node, all);
    };
    let shape = |node: usize, port: usize| shapes.get(&node).and_then(|all| all.get(port));
    for step in steps.iter_mut().rev().filter(|step| step.state == State::Compute) {
        let node = &graph.nodes[step.node];
        let Some((_, own)) = node.node() else { continue };
        let mut seen = Shapes::default();
        for wire in &node.wires {
            if let Some(shape) = wire.source.and_then(|(source, port)| shape(source, port)) {
                seen.0.insert(wire.field.clone(), shape.clone());
            }
        }
        let is_output = graph.outputs.iter().any(|(_, output, _)| *output == step.node);
        let picture = shape(step.node, 0).and_then(Shape::size);
        step.part = match (is_output, picture) {
            // What takes one picture to the outside takes the region of it.
            (true, None) => node.wires.iter().find_map(|wire| {
                let Some(Shape::Image(frame, _)) = seen.get(&wire.field) else { return None };
                Some(Part { input: region, frame: *frame, fields: vec![wire.field.clone()], output: None })
            }),
            (output, Some(size)) => {
                let need =
                    if output { Need::Part(region) } else { needs.get(&step.node).copied().unwrap_or(Need::Whole) };
                match need {
                    Need::Part(wanted) => (!node.mapped).then(|| part(own.reach(&seen), &seen, wanted, size)).flatten(),
                    Need::Whole => None,
                }
            }
            (false, None) => None,
        };
        if is_output && let Some(frame) = step.part.as_ref().filter(|p| p.output.is_none()).map(|p| p.frame).or(picture)
        {
            fits(region, frame).map_err(|failure| (step.node, failure))?;
        }
        // One source that comes in both cut and whole comes in whole.
        let cut = |field: &str| step.part.as_ref().is_some_and(|part| part.fields.iter().any(|cut| cut == field));
        let torn = |wire: &crate::Connection| {
            node.wires.iter().any(|w| w.name == wire.name && cut(&w.field) != cut(&wire.field))
        };
        if node.wires.iter().any(torn) {
            step.part = None;
        }
        for wire in &node.wires {
            let Some((source, _)) = wire.source else { continue };
            let need = match &step.part {
                Some(part) if part.fields.contains(&wire.field) => Need::Part(part.input),
                _ => Need::Whole,
            };
            ask(&mut needs, source, need);
        }
        if let Some(part) = &step.part {
            for field in &part.fields {
                if let Some(shape) = seen.0.get_mut(field) {
                    *shape = shape.cut_to(part.input.size());
                }
            }
            let forecast = own.forecast(&seen);
            (step.forecast.flops, step.forecast.working_bytes) = (forecast.flops, forecast.working_bytes);
            step.forecast.tiles = forecast.tiles;
            step.forecast.outputs = forecast.outputs;
        }
    }
    Ok(())
}

/// The part that a node works on to give `wanted` of its picture, when it can.
fn part(reach: Option<crate::Reach>, seen: &Shapes, wanted: Rect, size: Size) -> Option<Part> {
    let reach = reach?;
    let frame = seen.get(reach.fields.first()?)?.size()?;
    let alike = reach.fields.iter().all(|field| seen.get(field).and_then(Shape::size) == Some(frame));
    if !alike || frame.times(reach.factor) != size {
        return None;
    }
    let factor = reach.factor.max(1);
    let (x, y) = (wanted.x / factor, wanted.y / factor);
    let (right, bottom) = (wanted.right().div_ceil(factor), wanted.bottom().div_ceil(factor));
    let inner = Rect { x, y, width: right - x, height: bottom - y };
    let fields = reach.fields.iter().map(|field| (*field).to_owned()).collect();
    Some(Part { input: inner.grown(reach.halo, frame), frame, fields, output: Some((wanted, factor)) })
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
