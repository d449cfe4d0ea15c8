//! The machine that a pickle is a program for: opcodes, a stack and a memo.

use std::collections::HashMap;

use super::names::Known;
use super::{Pickle, Value};
use crate::files::Said;

/// Most values that one pickle may hold: a hundred thousand tensors take less than three million.
const MOST_VALUES: usize = 4_000_000;
/// Most steps of the machine.
const MOST_STEPS: usize = 40_000_000;
/// Most bytes of one name or text.
const MOST_TEXT: usize = 1 << 20;

/// The machine.
pub(super) struct Machine<'a> {
    input: &'a [u8],
    pub(super) stack: Vec<Value<'a>>,
    memo: HashMap<u64, Value<'a>>,
    /// Values in rows, dictionaries and the memo.
    pub(super) held: usize,
    pub(super) made: Pickle<'a>,
}

impl<'a> Machine<'a> {
    pub(super) fn new(input: &'a [u8], made: Pickle<'a>) -> Self {
        Self { input, stack: Vec::new(), memo: HashMap::new(), held: 0, made }
    }

    /// Runs to the end, and gives what was made.
    pub(super) fn run(mut self) -> Said<Pickle<'a>> {
        for _ in 0..MOST_STEPS {
            if self.step()? {
                return Ok(self.made);
            }
            if self.stack.len() + self.held > MOST_VALUES {
                return Err(format!("its pickle holds more than {MOST_VALUES} values"));
            }
        }
        Err(format!("its pickle takes more than {MOST_STEPS} steps"))
    }

    /// One opcode; true at the end.
    fn step(&mut self) -> Said<bool> {
        let [opcode] = *self.array::<1>()?;
        match opcode {
            b'.' => {
                self.made.root = self.pop()?;
                self.made.rest = self.input;
                return Ok(true);
            }
            0x80 => {
                let [protocol] = *self.array::<1>()?;
                if protocol > 5 {
                    return Err(format!("its pickle has protocol {protocol}, but 0 to 5 are known"));
                }
            }
            // A frame only says how much could be read at once.
            0x95 => _ = self.array::<8>()?,
            b'(' => self.stack.push(Value::Mark),
            b'0' => _ = self.pop()?,
            b'1' => _ = self.popped_to_mark()?,
            b'2' => self.stack.push(self.top()?),
            b'N' => self.stack.push(Value::Nothing),
            0x88 => self.stack.push(Value::Bool(true)),
            0x89 => self.stack.push(Value::Bool(false)),
            b'I' | b'L' => self.number_line()?,
            b'J' => {
                let value = i32::from_le_bytes(*self.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            b'K' => {
                let [value] = *self.array::<1>()?;
                self.stack.push(Value::Int(value.into()));
            }
            b'M' => {
                let value = u16::from_le_bytes(*self.array()?);
                self.stack.push(Value::Int(value.into()));
            }
            0x8a | 0x8b => self.long(opcode == 0x8b)?,
            b'F' => {
                self.line()?;
                self.stack.push(Value::Float);
            }
            b'G' => {
                self.array::<8>()?;
                self.stack.push(Value::Float);
            }
            b'S' | b'V' => {
                let line = self.line()?;
                self.stack.push(Value::Text(unquoted(line)));
            }
            b'U' | 0x8c | b'C' => {
                let [length] = *self.array::<1>()?;
                self.text(length.into())?;
            }
            b'X' | b'T' | b'B' => {
                let length = u32::from_le_bytes(*self.array()?);
                self.text(length.into())?;
            }
            0x8d | 0x8e => {
                let length = u64::from_le_bytes(*self.array()?);
                self.text(length)?;
            }
            b')' | b']' | 0x8f => self.row(vec![]),
            b'}' => self.map(vec![]),
            b't' | b'l' | 0x91 => {
                let values = self.popped_to_mark()?;
                self.row(values);
            }
            0x85..=0x87 => {
                let first = self.stack.len().checked_sub(usize::from(opcode - 0x84)).ok_or_else(empty)?;
                let values = self.stack.split_off(first);
                self.row(values);
            }
            b'd' => {
                let values = self.popped_to_mark()?;
                self.map(vec![]);
                self.set_items(&values)?;
            }
            b'a' => {
                let value = self.pop()?;
                self.append(&[value])?;
            }
            b'e' | 0x90 => {
                let values = self.popped_to_mark()?;
                self.append(&values)?;
            }
            b's' => {
                let (value, key) = (self.pop()?, self.pop()?);
                self.set_items(&[key, value])?;
            }
            b'u' => {
                let values = self.popped_to_mark()?;
                self.set_items(&values)?;
            }
            b'c' => {
                let (module, name) = (self.line()?, self.line()?);
                self.name(module, name)?;
            }
            0x93 => match (self.pop()?, self.pop()?) {
                (Value::Text(name), Value::Text(module)) => self.name(module, name)?,
                _ => return Err("its pickle makes a name of something that is no text".into()),
            },
            b'R' | 0x81 => self.call()?,
            b'b' => self.build()?,
            b'Q' => self.storage()?,
            b'p' | b'g' => {
                let line = self.line()?;
                let place = std::str::from_utf8(line).ok().and_then(|line| line.parse().ok());
                self.memorise(opcode == b'p', place.ok_or("its pickle has a place that is no number")?)?;
            }
            b'q' | b'h' => {
                let [place] = *self.array::<1>()?;
                self.memorise(opcode == b'q', place.into())?;
            }
            b'r' | b'j' => {
                let place = u32::from_le_bytes(*self.array()?);
                self.memorise(opcode == b'r', place.into())?;
            }
            0x94 => self.memorise(true, self.memo.len() as u64)?,
            b'i' | b'o' | 0x92 => return Err(refused("makes an object of a class of its own")),
            b'P' => return Err(refused("asks for an object outside of the file by a text")),
            0x82..=0x84 => return Err(refused("uses a registered extension")),
            0x96..=0x98 => return Err(refused("uses memory outside of the file")),
            other => return Err(format!("its pickle has the opcode 0x{other:02x}, which does not exist")),
        }
        Ok(false)
    }

    fn array<const N: usize>(&mut self) -> Said<&'a [u8; N]> {
        let (first, rest) = self.input.split_first_chunk().ok_or_else(cut)?;
        self.input = rest;
        Ok(first)
    }

    fn take(&mut self, length: u64) -> Said<&'a [u8]> {
        let length = usize::try_from(length).map_err(|_| cut())?;
        let (first, rest) = self.input.split_at_checked(length).ok_or_else(cut)?;
        self.input = rest;
        Ok(first)
    }

    fn line(&mut self) -> Said<&'a [u8]> {
        let end = self.input.iter().take(MOST_TEXT).position(|&byte| byte == b'\n').ok_or_else(cut)?;
        let line = &self.input[..end];
        self.input = &self.input[end + 1..];
        Ok(line)
    }

    fn text(&mut self, length: u64) -> Said<()> {
        let text = self.take(length)?;
        self.stack.push(Value::Text(text));
        Ok(())
    }

    fn number_line(&mut self) -> Said<()> {
        let line = self.line()?;
        let value = match line {
            b"00" => Value::Bool(false),
            b"01" => Value::Bool(true),
            _ => {
                let text = std::str::from_utf8(line).unwrap_or("").trim_end_matches('L');
                text.parse().map_or(Value::Large(line), Value::Int)
            }
        };
        self.stack.push(value);
        Ok(())
    }

    fn long(&mut self, wide: bool) -> Said<()> {
        let length = if wide { u32::from_le_bytes(*self.array()?) } else { u32::from(self.array::<1>()?[0]) };
        let bytes = self.take(length.into())?;
        let value = match bytes.len() {
            0 => Value::Int(0),
            len @ 1..=8 => {
                let sign = if bytes[len - 1] & 0x80 == 0 { 0 } else { 0xff };
                let mut whole = [sign; 8];
                whole[..len].copy_from_slice(bytes);
                Value::Int(i64::from_le_bytes(whole))
            }
            _ => Value::Large(bytes),
        };
        self.stack.push(value);
        Ok(())
    }

    pub(super) fn top(&self) -> Said<Value<'a>> {
        self.stack.last().copied().filter(|value| *value != Value::Mark).ok_or_else(empty)
    }

    pub(super) fn pop(&mut self) -> Said<Value<'a>> {
        let value = self.top()?;
        self.stack.pop();
        Ok(value)
    }

    fn popped_to_mark(&mut self) -> Said<Vec<Value<'a>>> {
        let mark = self.stack.iter().rposition(|value| *value == Value::Mark).ok_or_else(empty)?;
        let values = self.stack.split_off(mark + 1);
        self.stack.pop();
        Ok(values)
    }

    fn memorise(&mut self, put: bool, place: u64) -> Said<()> {
        if put {
            let value = self.top()?;
            self.held += 2;
            self.memo.insert(place, value);
        } else {
            let value = self.memo.get(&place).copied();
            self.stack.push(value.ok_or("its pickle asks for a value that it has not made")?);
        }
        Ok(())
    }

    fn name(&mut self, module: &[u8], name: &[u8]) -> Said<()> {
        self.stack.push(Value::Name(Known::of(module, name)?));
        Ok(())
    }
}

/// A text without its quotes.
fn unquoted(line: &[u8]) -> &[u8] {
    match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => line,
    }
}

fn cut() -> String {
    "it is cut off in the middle of its pickle".to_owned()
}

fn empty() -> String {
    "its pickle takes a value that is not there".to_owned()
}

pub(super) fn refused(what: &str) -> String {
    format!("its pickle {what}, which weights never need: refused, and nothing was run")
}
