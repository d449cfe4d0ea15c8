use serde::{Deserialize, Serialize};

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Size {
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Size {
    /// A size.
    pub const fn new(width: u32, height: u32) -> Self {
        Self { width, height }
    }

    /// Number of pixels.
    pub const fn area(self) -> u64 {
        self.width as u64 * self.height as u64
    }

    /// Number of pixels, as a length in memory.
    pub const fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }

    /// The rectangle that covers a picture of this size.
    pub const fn rect(self) -> Rect {
        Rect { x: 0, y: 0, width: self.width, height: self.height }
    }

    /// This size times a whole factor.
    pub const fn times(self, factor: u32) -> Self {
        Self::new(self.width.saturating_mul(factor), self.height.saturating_mul(factor))
    }

    /// This size times `factor`, rounded, at least one pixel each way.
    pub fn scaled(self, factor: f64) -> Self {
        let edge = |n: u32| (f64::from(n) * factor).round().clamp(1.0, f64::from(u32::MAX)) as u32;
        Self::new(edge(self.width), edge(self.height))
    }
}

impl std::fmt::Display for Size {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

/// A rectangle of pixels: the left upper corner and the size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Rect {
    /// Left edge.
    pub x: u32,
    /// Upper edge.
    pub y: u32,
    /// Pixels per row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl Rect {
    /// Width and height.
    pub const fn size(self) -> Size {
        Size::new(self.width, self.height)
    }

    /// First column to the right of it.
    pub const fn right(self) -> u32 {
        self.x + self.width
    }

    /// First row below it.
    pub const fn bottom(self) -> u32 {
        self.y + self.height
    }

    /// This rectangle widened by `halo` pixels on every side, cut at the edges of the picture.
    pub fn grown(self, halo: u32, frame: Size) -> Self {
        let (x, y) = (self.x.saturating_sub(halo), self.y.saturating_sub(halo));
        let right = self.right().saturating_add(halo).min(frame.width);
        let bottom = self.bottom().saturating_add(halo).min(frame.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// This rectangle in a picture that grew by a whole factor.
    pub const fn times(self, factor: u32) -> Self {
        let (x, y) = (self.x.saturating_mul(factor), self.y.saturating_mul(factor));
        let Size { width, height } = self.size().times(factor);
        Self { x, y, width, height }
    }

    /// What this part of a picture of `from` pixels covers once the picture has `to` pixels: all pixels that lie in it fully.
    pub fn stretched(self, from: Size, to: Size) -> Self {
        let edges = |start: u32, end: u32, from: u32, to: u32| {
            let (from, to) = (u64::from(from.max(1)), u64::from(to));
            // No larger than `to`, since a part ends within its picture.
            let start = (u64::from(start) * to).div_ceil(from) as u32;
            (start, ((u64::from(end) * to / from) as u32).max(start))
        };
        let (x, right) = edges(self.x, self.right(), from.width, to.width);
        let (y, bottom) = edges(self.y, self.bottom(), from.height, to.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// The smallest part of a picture of `from` pixels that [covers](Self::stretched) this one once the picture has `to`.
    pub fn behind(self, from: Size, to: Size) -> Self {
        let edges = |start: u32, end: u32, from: u32, to: u32| {
            let (from, to) = (u64::from(from), u64::from(to.max(1)));
            ((u64::from(start) * from / to) as u32, (u64::from(end) * from).div_ceil(to) as u32)
        };
        let (x, right) = edges(self.x, self.right(), from.width, to.width);
        let (y, bottom) = edges(self.y, self.bottom(), from.height, to.height);
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// The smallest rectangle that holds both.
    pub fn union(self, other: Self) -> Self {
        let (x, y) = (self.x.min(other.x), self.y.min(other.y));
        let (right, bottom) = (self.right().max(other.right()), self.bottom().max(other.bottom()));
        Self { x, y, width: right - x, height: bottom - y }
    }

    /// Whether they share a pixel.
    pub const fn meets(self, other: Self) -> bool {
        self.x < other.right() && other.x < self.right() && self.y < other.bottom() && other.y < self.bottom()
    }

    /// Whether all of `other` lies in it.
    pub const fn holds(self, other: Self) -> bool {
        self.x <= other.x && other.right() <= self.right() && self.y <= other.y && other.bottom() <= self.bottom()
    }

    /// Bands of at most `rows` rows, from top to bottom.
    pub fn bands(self, rows: u32) -> impl Iterator<Item = Self> {
        let rows = rows.max(1);
        (0..self.height).step_by(rows as usize).map(move |y| Self {
            y: self.y + y,
            height: rows.min(self.height - y),
            ..self
        })
    }

    /// The same rectangle as seen from `origin`.
    pub const fn relative_to(self, origin: Self) -> Self {
        Self { x: self.x - origin.x, y: self.y - origin.y, width: self.width, height: self.height }
    }

    /// Covers a picture of `frame` pixels with cells of at most `edge` pixels each way, row by row. The cells start at
    /// multiples of `edge`, so that a cell does not depend on the size of the picture.
    pub fn grid(frame: Size, edge: u32) -> Vec<Self> {
        let edge = edge.max(1);
        let starts = |length: u32| (0..length).step_by(edge as usize);
        starts(frame.height)
            .flat_map(|y| starts(frame.width).map(move |x| (x, y)))
            .map(|(x, y)| Self { x, y, width: edge.min(frame.width - x), height: edge.min(frame.height - y) })
            .collect()
    }
}
