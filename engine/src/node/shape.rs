use super::Port;
use crate::value::{Rect, Size, Type};
use std::collections::BTreeMap;

/// What is known of a value before it is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A picture, with 3 or 4 planes.
    Image(Size, usize),
    /// A mask.
    Mask(Size),
    /// A guide over a picture.
    Guide(Size),
    /// A picture in tiles: its size, its planes and the tiles with their halo.
    Tiles(Size, usize, Vec<Rect>),
    /// Anything small.
    Small(Type),
    /// A picture whose size only the run will show.
    Unknown(Type),
}

impl Shape {
    /// Width and height, when it spans a picture.
    pub fn size(&self) -> Option<Size> {
        match self {
            Self::Image(size, _) | Self::Mask(size) | Self::Guide(size) | Self::Tiles(size, ..) => Some(*size),
            Self::Small(_) | Self::Unknown(_) => None,
        }
    }

    /// Number of planes of a picture.
    pub fn channels(&self) -> usize {
        match self {
            Self::Image(_, channels) | Self::Tiles(_, channels, _) => *channels,
            _ => 1,
        }
    }

    /// The shape of a part of it.
    pub(crate) fn cut_to(&self, size: Size) -> Self {
        match self {
            Self::Image(_, channels) => Self::Image(size, *channels),
            Self::Mask(_) => Self::Mask(size),
            Self::Guide(_) => Self::Guide(size),
            other => other.clone(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Image(size, channels) => size.area() * *channels as u64 * 4,
            Self::Mask(size) => size.area() * 4,
            // Maps appear only where something is regional; most guides are uniform.
            Self::Guide(_) | Self::Small(_) | Self::Unknown(_) => 64,
            Self::Tiles(_, channels, tiles) => {
                tiles.iter().map(|t| t.size().area()).sum::<u64>() * *channels as u64 * 4
            }
        }
    }
}

/// The shapes of a node's inputs, by the field that they come in through.
#[derive(Clone, Debug, Default)]
pub struct Shapes(pub BTreeMap<String, Shape>);

impl Shapes {
    /// The shape that comes in through a field.
    pub fn get(&self, field: &str) -> Option<&Shape> {
        self.0.get(field)
    }

    /// The input `image`, or else the first picture that comes in.
    pub fn first_picture(&self) -> Option<&Shape> {
        let picture = |shape: &&Shape| matches!(shape, Shape::Image(..) | Shape::Tiles(..));
        self.get("image").filter(picture).or_else(|| self.0.values().find(picture))
    }

    /// Width and height of [`first_picture`](Self::first_picture).
    pub fn picture_size(&self) -> Option<Size> {
        self.first_picture().and_then(Shape::size)
    }
}

/// How far a node looks: it can give a part of its picture from a part of what comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reach {
    /// The fields that are cut, all of one size. Everything else comes in whole.
    pub fields: Vec<&'static str>,
    /// By how much the picture grows.
    pub factor: u32,
    /// How many pixels of what comes in a pixel depends on, on every side.
    pub halo: u32,
}

/// What a node will give and what it will cost.
#[derive(Clone, Debug, Default)]
pub struct Forecast {
    /// The outputs, in the order of the ports.
    pub outputs: Vec<Shape>,
    /// Floating point operations of its networks.
    pub flops: f64,
    /// Bytes that it needs beside inputs and outputs while it runs.
    pub working_bytes: u64,
    /// Tiles that it works through, where it works in tiles by itself.
    pub tiles: u64,
}

impl Forecast {
    /// Outputs as large as a picture.
    pub fn like(picture: Option<&Shape>, ports: &[Port]) -> Self {
        let size = picture.and_then(Shape::size);
        let outputs = ports
            .iter()
            .map(|port| match (port.ty, size) {
                (Type::Image, Some(size)) => Shape::Image(size, picture.map_or(3, Shape::channels)),
                (Type::Mask, Some(size)) => Shape::Mask(size),
                (Type::Guide, Some(size)) => Shape::Guide(size),
                (ty @ (Type::Image | Type::Mask | Type::Guide | Type::Tiles), _) => Shape::Unknown(ty),
                (ty, _) => Shape::Small(ty),
            })
            .collect();
        Self { outputs, ..Self::default() }
    }

    /// One output, at no cost worth telling.
    pub fn of(shape: Shape) -> Self {
        Self { outputs: vec![shape], ..Self::default() }
    }
}
