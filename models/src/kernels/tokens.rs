//! Maps as sequences of pixels.

use super::Place;

/// The pixels of a map, taken row by row as a sequence of tokens. The channels of a token lie side by side.
#[derive(Clone, Copy)]
pub struct Tokens<'a, E> {
    /// The whole map.
    pub data: &'a [E],
    /// Index of the first value of pixel (0, 0).
    pub start: usize,
    /// Values from one row of the map to the next.
    pub row: usize,
    /// Values from one pixel to the next.
    pub pixel: usize,
    /// Pixels per row.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

impl<'a, E> Tokens<'a, E> {
    /// Tokens of `channels` values that lie one behind the other.
    pub fn line(data: &'a [E], channels: usize) -> Self {
        let width = data.len().checked_div(channels).unwrap_or(0);
        Self { data, start: 0, row: data.len(), pixel: channels, width, height: 1 }
    }

    /// The same tokens from channel `channel` on, for where queries, keys and values lie side by side.
    #[must_use]
    pub fn from_channel(self, channel: usize) -> Self {
        Self { start: self.start + channel, ..self }
    }

    /// The number of tokens.
    pub fn count(&self) -> usize {
        self.width * self.height
    }

    /// Index of the first value of a token.
    pub(super) fn at(&self, token: usize) -> usize {
        self.start + token / self.width * self.row + token % self.width * self.pixel
    }

    /// # Panics
    /// When one of the tokens does not lie within the map.
    pub(super) fn check(&self, channels: usize, name: &str) {
        let within = end(self.place(), channels).is_some_and(|end| end <= self.data.len());
        assert!(within, "{name} outside their map");
    }

    fn place(&self) -> Place {
        Place { start: self.start, row: self.row, pixel: self.pixel, width: self.width, height: self.height }
    }
}

/// # Panics
/// When an output pixel does not lie within a map of `len` values, or overlaps another one.
pub(super) fn check_output(place: Place, channels: usize, len: usize) {
    assert!(end(place, channels).is_some_and(|end| end <= len), "output outside its map");
    let line = place.pixel * place.width.saturating_sub(1) + channels;
    let apart = (channels <= place.pixel || place.width == 1) && (line <= place.row || place.height == 1);
    assert!(apart || place.width * place.height == 0, "output pixels overlap");
}

/// The first index behind the last value; `None` beyond `usize`.
fn end(place: Place, channels: usize) -> Option<usize> {
    let (Some(rows), Some(pixels)) = (place.height.checked_sub(1), place.width.checked_sub(1)) else { return Some(0) };
    let last = place.row.checked_mul(rows)?.checked_add(place.pixel.checked_mul(pixels)?)?;
    place.start.checked_add(last)?.checked_add(channels)
}
