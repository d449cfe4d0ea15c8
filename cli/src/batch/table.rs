//! `--dry-run`: what would be done, as a table.

use crate::{speed, terminal::Terminal};
use engine::{Blame, Failure, Graph, Plan, Shape, State};
use serde_json::json;

/// The lines of a plan's table; for programs, an event instead.
pub(super) fn lines(
    terminal: &Terminal,
    graph: &Graph,
    plan: &Plan,
    title: &str,
    outputs: &[String],
) -> Result<Vec<String>, Failure> {
    let speed = speed::measure().map_err(|error| Failure::new(Blame::Model, error.to_string()))?;
    let seconds = plan.flops / speed;
    let mut rows = vec![["node", "kind", "gives", "tiles", "GFLOP"].map(str::to_owned)];
    let mut events = Vec::new();
    for step in &plan.steps {
        let node = &graph.nodes()[step.node];
        let gives = step.forecast.outputs.first().map_or_else(String::new, shape_text);
        let counted = |n: f64, text: String| if n > 0.0 { text } else { String::new() };
        let kept = step.state == State::Kept;
        let tiles = counted(step.forecast.tiles as f64, step.forecast.tiles.to_string());
        let gflop = counted(step.forecast.flops, format!("{:.1}", step.forecast.flops / 1e9));
        let gflop = if kept { "kept".to_owned() } else { gflop };
        events.push(json!({
            "node": node.id, "kind": node.kind_name(), "gives": gives, "tiles": step.forecast.tiles,
            "flops": step.forecast.flops, "kept": kept,
        }));
        rows.push([node.id.clone(), node.kind_name().to_owned(), gives, tiles, gflop]);
    }
    if terminal.json() {
        terminal.event(json!({
            "event": "plan", "input": title, "outputs": outputs, "nodes": events, "peak_bytes": plan.peak_bytes,
            "flops": plan.flops, "seconds": seconds, "strips": plan.strips().map(|(count, _)| count),
        }));
        return Ok(Vec::new());
    }
    let mut lines = vec![format!("{title} -> {}", outputs.join(", "))];
    let widths: Vec<usize> =
        (0..5).map(|column| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default()).collect();
    for row in &rows {
        let [id, kind, gives, tiles, gflop] = row;
        let line = format!(
            "  {id:a$}  {kind:b$}  {gives:c$}  {tiles:>d$}  {gflop:>e$}",
            a = widths[0],
            b = widths[1],
            c = widths[2],
            d = widths[3],
            e = widths[4]
        );
        lines.push(line.trim_end().to_owned());
    }
    lines.push(format!(
        "  about {} in the networks at {:.0} GFLOP/s, at most {} of memory",
        speed::duration(seconds),
        speed / 1e9,
        engine::bytes(plan.peak_bytes)
    ));
    if let Some((strips, rows)) = plan.strips() {
        lines.push(format!("  the whole does not fit into memory: in {strips} strips of {rows} rows"));
    }
    Ok(lines)
}

fn shape_text(shape: &Shape) -> String {
    match shape {
        Shape::Image(size, channels) => format!("{size} {}", if *channels == 4 { "RGBA" } else { "RGB" }),
        Shape::Mask(size) => format!("{size} mask"),
        Shape::Guide(size, ..) => format!("{size} guide"),
        Shape::Tiles(size, _, tiles) => format!("{size} in {} tiles", tiles.len()),
        Shape::Small(ty) => ty.to_string(),
        Shape::Unknown(ty) => format!("{ty} of unknown size"),
    }
}
