//! The values that travel on the wires between nodes.
//!
//! Every value is immutable and shared, knows a digest of its content (what the cache compares), its size in
//! memory (what the cache weighs), and whether it spans a picture (then it can be cropped to one tile).

mod codec;
mod damage;
mod file;
mod guide;
mod image;
mod mask;
mod rect;
mod regions;
mod tiles;

pub(crate) use codec::{Block, decode, encode};
pub use damage::{Damage, Measure};
pub use file::File;
pub use guide::{Field, Guide};
pub use image::{Image, Metadata, SampleDepth};
pub use mask::Mask;
pub use rect::{Rect, Size};
pub use regions::{Region, RegionKind, Regions};
pub use tiles::{Tile, Tiles};

use crate::digest::{Digest, Digester};
use std::sync::Arc;

/// The type of a wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
pub enum Type {
    /// A picture.
    Image,
    /// A grey picture, 0 to 1.
    Mask,
    /// A picture cut into overlapping tiles.
    Tiles,
    /// Boxes of things found in a picture.
    Regions,
    /// What was measured of noise, compression and blur.
    Damage,
    /// Creativity, resemblance and detail, per pixel.
    Guide,
    /// A number.
    Number,
    /// A text.
    Text,
    /// The bytes of a file.
    File,
}

impl Type {
    /// The name as it stands in graph files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Mask => "Mask",
            Self::Tiles => "Tiles",
            Self::Regions => "Regions",
            Self::Damage => "Damage",
            Self::Guide => "Guide",
            Self::Number => "Number",
            Self::Text => "Text",
            Self::File => "File",
        }
    }

    /// The type of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|ty| ty.name() == name)
    }

    /// All types, in the order of the documentation.
    pub const ALL: [Self; 9] = [
        Self::Image,
        Self::Mask,
        Self::Tiles,
        Self::Regions,
        Self::Damage,
        Self::Guide,
        Self::Number,
        Self::Text,
        Self::File,
    ];
}

impl std::fmt::Display for Type {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

/// A value on a wire. Cloning shares the content.
#[derive(Clone, Debug)]
pub enum Value {
    /// See [`Image`].
    Image(Arc<Image>),
    /// See [`Mask`].
    Mask(Arc<Mask>),
    /// See [`Tiles`].
    Tiles(Arc<Tiles>),
    /// See [`Regions`].
    Regions(Arc<Regions>),
    /// See [`Damage`].
    Damage(Arc<Damage>),
    /// See [`Guide`].
    Guide(Arc<Guide>),
    /// A number.
    Number(f64),
    /// A text.
    Text(Arc<str>),
    /// See [`File`].
    File(Arc<File>),
}

impl Value {
    /// The type of this value.
    pub fn ty(&self) -> Type {
        match self {
            Self::Image(_) => Type::Image,
            Self::Mask(_) => Type::Mask,
            Self::Tiles(_) => Type::Tiles,
            Self::Regions(_) => Type::Regions,
            Self::Damage(_) => Type::Damage,
            Self::Guide(_) => Type::Guide,
            Self::Number(_) => Type::Number,
            Self::Text(_) => Type::Text,
            Self::File(_) => Type::File,
        }
    }

    /// Digest of the content: equal for equal content, whatever produced it.
    pub fn digest(&self) -> Digest {
        let mut d = Digester::new(self.ty().name());
        match self {
            Self::Image(v) => v.digest_into(&mut d),
            Self::Mask(v) => v.digest_into(&mut d),
            Self::Tiles(v) => v.digest_into(&mut d),
            Self::Regions(v) => v.digest_into(&mut d),
            Self::Damage(v) => v.digest_into(&mut d),
            Self::Guide(v) => v.digest_into(&mut d),
            Self::Number(v) => d.f64(*v),
            Self::Text(v) => d.text(v),
            Self::File(v) => d.bytes(&v.bytes),
        }
        d.finish()
    }

    /// Bytes held in memory by the content.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Image(v) => v.bytes(),
            Self::Mask(v) => v.bytes(),
            Self::Tiles(v) => v.bytes(),
            Self::Guide(v) => v.bytes(),
            Self::Regions(v) => v.items.len() * size_of::<Region>(),
            Self::Damage(_) | Self::Number(_) => 64,
            Self::Text(v) => v.len(),
            Self::File(v) => v.bytes.len(),
        }
    }

    /// The part of a value that lies on one tile of a picture of `frame` pixels: what spans a picture of that size
    /// is cropped, everything else is shared whole.
    pub fn crop_to(&self, frame: Size, rect: Rect) -> Self {
        if rect == frame.rect() {
            return self.clone();
        }
        match self {
            Self::Image(v) if v.size() == frame => Self::Image(Arc::new(v.crop(rect))),
            Self::Mask(v) if v.size() == frame => Self::Mask(Arc::new(v.crop(rect))),
            Self::Guide(v) if v.size() == frame => Self::Guide(Arc::new(v.crop(rect))),
            Self::Regions(v) if v.frame == frame => Self::Regions(Arc::new(v.crop(rect))),
            other => other.clone(),
        }
    }
}

/// A Rust type that can travel on a wire.
pub trait WireType: Send + Sync + Sized + 'static {
    /// Its wire type.
    const TYPE: Type;
    /// What a node receives: shared content, or the plain value for numbers and texts.
    type Held: Clone + Send;
    /// The content of a value of this type, or `None` when it is of another.
    fn from_value(value: &Value) -> Option<Self::Held>;
    /// Wraps a fresh value.
    fn into_value(self) -> Value;
}

macro_rules! shared {
    ($($name:ident),*) => { $(
        impl WireType for $name {
            const TYPE: Type = Type::$name;
            type Held = Arc<$name>;
            fn from_value(value: &Value) -> Option<Self::Held> {
                match value { Value::$name(v) => Some(v.clone()), _ => None }
            }
            fn into_value(self) -> Value { Value::$name(Arc::new(self)) }
        }
    )* };
}
shared!(Image, Mask, Tiles, Regions, Damage, Guide, File);

/// A number on a wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl WireType for Number {
    const TYPE: Type = Type::Number;
    type Held = f64;
    fn from_value(value: &Value) -> Option<f64> {
        match value {
            Value::Number(v) => Some(*v),
            _ => None,
        }
    }
    fn into_value(self) -> Value {
        Value::Number(self.0)
    }
}

/// A text on a wire.
#[derive(Clone, Debug, PartialEq)]
pub struct Text(pub String);

impl WireType for Text {
    const TYPE: Type = Type::Text;
    type Held = Arc<str>;
    fn from_value(value: &Value) -> Option<Arc<str>> {
        match value {
            Value::Text(v) => Some(v.clone()),
            _ => None,
        }
    }
    fn into_value(self) -> Value {
        Value::Text(self.0.into())
    }
}
