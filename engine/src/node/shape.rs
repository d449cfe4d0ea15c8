use super::Port;
use crate::value::{Rect, Size, Type};
use std::collections::BTreeMap;

/// A tile before it is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it is there for.
    pub core: Rect,
    /// What it sees: the core with its halo.
    pub outer: Rect,
}

impl Cell {
    /// The tile in a picture that grew by a whole factor.
    pub(crate) fn times(self, factor: u32) -> Self {
        Self { core: self.core.times(factor), outer: self.outer.times(factor) }
    }
}

/// What is known of a value before it is computed.
#[derive(Clone, Debug, PartialEq)]
pub enum Shape {
    /// A picture, with 3 or 4 planes.
    Image(Size, usize),
    /// A mask.
    Mask(Size),
    /// A guide over a picture: its size, the most creativity that it may allow anywhere, and how many of its fields may
    /// be maps.
    Guide(Size, f64, u32),
    /// A picture in tiles: its size, its planes and the tiles.
    Tiles(Size, usize, Vec<Cell>),
    /// Anything small.
    Small(Type),
    /// A picture whose size only the run will show.
    Unknown(Type),
}

impl Shape {
    /// Width and height, when it spans a picture.
    pub fn size(&self) -> Option<Size> {
        match self {
            Self::Image(size, _) | Self::Mask(size) | Self::Guide(size, ..) | Self::Tiles(size, ..) => Some(*size),
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

    /// The shape of a part of it. Of tiles those are left whose core lies in the part at all; their places stay.
    pub(crate) fn cut_to(&self, part: Rect) -> Self {
        match self {
            Self::Image(_, channels) => Self::Image(part.size(), *channels),
            Self::Mask(_) => Self::Mask(part.size()),
            Self::Guide(_, highest, maps) => Self::Guide(part.size(), *highest, *maps),
            Self::Tiles(frame, channels, cells) => {
                let cells = cells.iter().filter(|cell| cell.core.meets(part)).copied().collect();
                Self::Tiles(*frame, *channels, cells)
            }
            Self::Small(_) | Self::Unknown(_) => self.clone(),
        }
    }

    /// Bytes in memory.
    pub fn bytes(&self) -> u64 {
        match self {
            Self::Image(size, channels) => size.area() * *channels as u64 * 4,
            Self::Mask(size) => size.area() * 4,
            Self::Guide(size, _, maps) => 64 + size.area() * 4 * u64::from(*maps),
            Self::Small(_) | Self::Unknown(_) => 64,
            Self::Tiles(_, channels, cells) => {
                cells.iter().map(|cell| cell.outer.size().area()).sum::<u64>() * *channels as u64 * 4
            }
        }
    }
}

/// How much smaller tiles are than they were asked to be, because memory is short.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Thrift(pub(crate) u32);

impl Thrift {
    /// Edge below which tiles are mostly margin: no smaller ones are made.
    pub const FLOOR: u32 = 64;
    /// After so many halvings every edge that a node takes is at the floor.
    pub(crate) const MOST: Self = Self(7);

    /// The edge of the tiles to work in, where `asked` would be usual.
    pub fn edge(self, asked: u32) -> u32 {
        let mut edge = asked.max(1);
        for _ in 0..self.0 {
            edge = if edge / 2 < Self::FLOOR { edge } else { edge / 2 };
        }
        edge
    }

    /// The next step, unless this was the last.
    pub(crate) fn more(self) -> Option<Self> {
        (self < Self::MOST).then_some(Self(self.0 + 1))
    }
}

/// The shapes of a node's inputs, by the field that they come in through.
#[derive(Clone, Debug, Default)]
pub struct Shapes {
    pub(crate) fields: BTreeMap<String, Shape>,
    /// How small the tiles are in which it will work.
    pub thrift: Thrift,
}

impl Shapes {
    /// The shape that comes in through a field.
    pub fn get(&self, field: &str) -> Option<&Shape> {
        self.fields.get(field)
    }

    /// The input `image`, or else the first picture that comes in.
    pub fn first_picture(&self) -> Option<&Shape> {
        let picture = |shape: &&Shape| matches!(shape, Shape::Image(..) | Shape::Tiles(..));
        self.get("image").filter(picture).or_else(|| self.fields.values().find(picture))
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
    /// How many pixels of what comes in a pixel depends on, on every side. What gives tiles sees all of those that are
    /// wanted, and nothing beyond them.
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
                (Type::Guide, Some(size)) => Shape::Guide(size, 1.0, 0),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_are_halved_down_to_a_floor() {
        assert_eq!(Thrift::default().edge(512), 512);
        assert_eq!([1, 2, 3, 4, 7].map(|n| Thrift(n).edge(512)), [256, 128, 64, 64, 64]);
        assert_eq!(Thrift::MOST.edge(4096), 64);
        assert_eq!(Thrift::MOST.edge(100), 100, "half of it would be below the floor");
        assert_eq!(Thrift::MOST.more(), None);
    }
}
