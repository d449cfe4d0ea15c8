//! Google's encoding of messages: numbered fields, read one after the other. Groups, which nothing here uses, end the reading.

use super::Said;

/// The value of a field.
#[derive(Clone, Copy, Debug)]
pub(super) enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    /// Four or eight bytes.
    Fixed(&'a [u8]),
}

/// The fields of a message with their numbers. Ends after the first that cannot be read.
pub(super) fn fields(mut message: &[u8]) -> impl Iterator<Item = Said<(u64, Field<'_>)>> {
    std::iter::from_fn(move || {
        if message.is_empty() {
            return None;
        }
        let read = field(&mut message);
        if read.is_none() {
            message = &[];
        }
        Some(read.ok_or_else(|| "it is cut off or broken: a field of it cannot be read".to_owned()))
    })
}

fn field<'a>(message: &mut &'a [u8]) -> Option<(u64, Field<'a>)> {
    let key = number(message)?;
    let mut take = |len: usize| {
        let (taken, rest) = message.split_at_checked(len)?;
        *message = rest;
        Some(taken)
    };
    let value = match key & 7 {
        1 => Field::Fixed(take(8)?),
        5 => Field::Fixed(take(4)?),
        0 => Field::Number(number(message)?),
        2 => {
            let len = usize::try_from(number(message)?).ok()?;
            let (taken, rest) = message.split_at_checked(len)?;
            *message = rest;
            Field::Bytes(taken)
        }
        _ => return None,
    };
    (key >> 3 != 0).then_some((key >> 3, value))
}

/// A number of seven bits per byte, the lowest first.
pub(super) fn number(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
