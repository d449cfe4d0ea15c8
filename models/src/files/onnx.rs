//! The initialisers of an ONNX file, by name: what network they belong to is told by their names and shapes, as with every other
//! file. Programs that write such files fold batch normalisations into convolutions and number the results; where the order of the
//! convolutions in the graph tells a network, its tensors get the names that they have in PyTorch.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::protobuf::{Field, fields, number};
use super::{Said, Tensor, yunet_onnx};

/// Field of a model that holds the graph.
const GRAPH: u64 = 7;
/// Field of a graph that holds a node.
const NODE: u64 = 1;
/// Field of a graph that holds an initialiser.
const INITIALISER: u64 = 5;

/// Whether the fields of a message are those of a model: a version, and a graph with nodes.
pub(super) fn is_onnx(file: &[u8]) -> bool {
    // The version is the first field.
    matches!(fields(file).next(), Some(Ok((1, Field::Number(1..=1000)))))
        && fields(file).take(64).any(|field| is_graph(&field))
}

fn is_graph(field: &Said<(u64, Field<'_>)>) -> bool {
    matches!(field, Ok((GRAPH, Field::Bytes(_))))
}

/// Whether this is TensorFlow's graph: nodes that begin with their name and operation.
pub(super) fn is_tensorflow(file: &[u8]) -> bool {
    let Some(Ok((1, Field::Bytes(node)))) = fields(file).next() else { return false };
    let text = |field: Option<Said<(u64, Field<'_>)>>, number: u64| matches!(field, Some(Ok((found, Field::Bytes(text)))) if found == number && text.iter().all(u8::is_ascii_graphic));
    let mut inside = fields(node);
    text(inside.next(), 1) && text(inside.next(), 2)
}

/// The tensors of the file.
pub(super) fn read(file: &[u8]) -> Said<BTreeMap<String, Tensor<'_>>> {
    let (mut named, mut convolutions) = (BTreeMap::new(), Vec::new());
    for field in fields(file) {
        let (GRAPH, Field::Bytes(graph)) = field? else { continue };
        for field in fields(graph) {
            match field? {
                (NODE, Field::Bytes(node)) => convolutions.extend(convolution(node)?),
                (INITIALISER, Field::Bytes(tensor)) => {
                    let (name, tensor) = initialiser(tensor)?;
                    named.insert(name, tensor);
                }
                _ => {}
            }
        }
    }
    Ok(yunet_onnx::named(&named, &convolutions).unwrap_or(named))
}

/// The names of the weights and the bias of a convolution.
pub(super) type Convolution<'a> = [&'a str; 2];

/// What a node convolves with; nothing when it is of another kind, or has no bias. Nodes stand in the order in which they are
/// computed.
fn convolution(node: &[u8]) -> Said<Option<Convolution<'_>>> {
    let (mut inputs, mut convolves) = (Vec::new(), false);
    for field in fields(node) {
        match field? {
            (1, Field::Bytes(input)) if inputs.len() < 4 => inputs.push(input),
            (4, Field::Bytes(kind)) => convolves = kind == b"Conv",
            _ => {}
        }
    }
    let [_, weight, bias] = inputs[..] else { return Ok(None) };
    let names = std::str::from_utf8(weight).ok().zip(std::str::from_utf8(bias).ok());
    Ok(names.filter(|_| convolves).map(|(weight, bias)| [weight, bias]))
}

/// An initialiser with its name.
fn initialiser(message: &[u8]) -> Said<(String, Tensor<'_>)> {
    let (mut name, mut shape, mut kind, mut raw, mut floats) = (String::new(), vec![], 0, None, vec![]);
    let mut outside = false;
    for field in fields(message) {
        match field? {
            (1, Field::Number(dimension)) => shape.push(dimension),
            (1, Field::Bytes(mut packed)) => {
                while !packed.is_empty() && shape.len() <= super::MOST_DIMENSIONS {
                    shape.push(number(&mut packed).ok_or("the shape of an initialiser cannot be read")?);
                }
            }
            (2, Field::Number(number)) => kind = number,
            (4, Field::Bytes(packed)) => floats.extend_from_slice(packed),
            (4, Field::Fixed(one)) => floats.extend_from_slice(one),
            (8, Field::Bytes(text)) => name = String::from_utf8_lossy(&text[..text.len().min(4096)]).into_owned(),
            (9, Field::Bytes(bytes)) => raw = Some(bytes),
            (13, _) | (14, Field::Number(1)) => outside = true,
            _ => {}
        }
        if shape.len() > super::MOST_DIMENSIONS {
            return Err("an initialiser has too many dimensions".into());
        }
    }
    let wrong = |message: String| format!("initialiser `{name}`: {message}");
    if outside {
        return Err(wrong("its values lie in another file, which is not read: save the model as one file".into()));
    }
    let dtype = match kind {
        1 => Dtype::F32,
        2 => Dtype::U8,
        3 => Dtype::I8,
        5 => Dtype::I16,
        6 => Dtype::I32,
        7 => Dtype::I64,
        9 => Dtype::BOOL,
        10 => Dtype::F16,
        11 => Dtype::F64,
        16 => Dtype::BF16,
        other => return Err(wrong(format!("values of the kind {other} are not read"))),
    };
    let sides = shape.iter().map(|&side| usize::try_from(side)).collect::<Result<Vec<_>, _>>();
    let mut sides = sides.map_err(|_| wrong(format!("its shape {shape:?} is too large")))?;
    // The slopes of a PReLU stand in front of the sides of the map that they spread over.
    if let [slopes, 1, 1] = sides[..] {
        sides = vec![slopes];
    }
    let tensor = match raw {
        Some(raw) => Tensor::new(dtype, sides, raw),
        None if dtype == Dtype::F32 => Tensor::new(dtype, sides, floats),
        // Whole numbers of other fields: sizes for the graph, never weights.
        None => Tensor::new(dtype, vec![0], &[][..]),
    };
    Ok((name.clone(), tensor.map_err(wrong)?))
}
