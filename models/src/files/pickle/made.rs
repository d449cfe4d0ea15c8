//! What a pickle makes: rows, dictionaries and tensors of our own. Calling a name only ever makes one of these, or something inert.

use super::machine::{Machine, refused};
use super::names::Known;
use super::{Storage, Value, Walk};
use crate::files::{MOST_DIMENSIONS, Said};

impl<'a> Machine<'a> {
    pub(super) fn row(&mut self, values: Vec<Value<'a>>) {
        self.held += values.len() + 1;
        self.made.rows.push(values);
        self.stack.push(Value::Row(self.made.rows.len() - 1));
    }

    pub(super) fn map(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) {
        self.held += 2 * pairs.len() + 1;
        self.made.maps.push(pairs);
        self.stack.push(Value::Map(self.made.maps.len() - 1));
    }

    pub(super) fn append(&mut self, values: &[Value<'a>]) -> Said<()> {
        match self.top()? {
            Value::Row(number) => self.made.rows[number].extend_from_slice(values),
            Value::Other => {}
            _ => return Err("its pickle appends to something that is no list".into()),
        }
        self.held += values.len();
        Ok(())
    }

    pub(super) fn set_items(&mut self, values: &[Value<'a>]) -> Said<()> {
        match self.top()? {
            Value::Map(number) => {
                let (pairs, []) = values.as_chunks() else {
                    return Err("its pickle sets a key without a value".into());
                };
                self.made.maps[number].extend(pairs.iter().map(|&[key, value]| (key, value)));
            }
            Value::Other => {}
            _ => return Err("its pickle sets a key of something that is no dictionary".into()),
        }
        self.held += values.len();
        Ok(())
    }

    /// What calling a name gives.
    pub(super) fn call(&mut self) -> Said<()> {
        let (arguments, name) = (self.pop()?, self.pop()?);
        let Value::Name(known) = name else { return Err(refused("calls something that is no name")) };
        // No call that is known has as many; what is copied here must not be long.
        let arguments = self.made.row(arguments).filter(|row| row.len() <= 16);
        let arguments = arguments.ok_or("its pickle calls a name with arguments that make no sense")?.to_vec();
        match known {
            Known::OrderedDict => {
                self.map(vec![]);
                let pairs = match arguments.first() {
                    None => vec![],
                    Some(&pairs) => self
                        .made
                        .row(pairs)
                        .ok_or("its pickle makes a dictionary of something else than pairs")?
                        .to_vec(),
                };
                for pair in pairs {
                    let Some(&[key, value]) = self.made.row(pair) else {
                        return Err("its pickle makes a dictionary of something else than pairs".into());
                    };
                    self.set_items(&[key, value])?;
                }
            }
            Known::Rebuild => self.tensor(&arguments)?,
            Known::Parameter => match arguments.first() {
                Some(value @ Value::Tensor(_)) => self.stack.push(*value),
                _ => return Err("its pickle makes a parameter of something that is no tensor".into()),
            },
            Known::Size | Known::Set => match arguments.first() {
                Some(value @ Value::Row(_)) => self.stack.push(*value),
                None => self.row(vec![]),
                _ => return Err("its pickle makes a size of something that is no row".into()),
            },
            Known::Inert => self.stack.push(Value::Other),
            Known::Storage(_) => return Err(refused("makes a storage by itself")),
        }
        Ok(())
    }

    /// Attributes: those of dictionaries and tensors are notes of PyTorch, but for the tensors of a `ParameterDict`.
    pub(super) fn build(&mut self) -> Said<()> {
        let attributes = self.pop()?;
        match self.top()? {
            Value::Map(number) => {
                let named = |pair: &&(Value<'a>, Value<'a>)| pair.0 == Value::Text(b"_parameters");
                // An object has a dozen attributes: many long looks would cost more than the file is long.
                let inside = self.made.map(attributes).unwrap_or_default().iter().take(64).find(named);
                let pairs = inside.and_then(|&(_, inside)| self.made.map(inside)).unwrap_or_default().to_vec();
                self.held += 2 * pairs.len();
                self.made.maps[number].extend(pairs);
                Ok(())
            }
            Value::Tensor(_) | Value::Other => Ok(()),
            _ => Err(refused("changes the inside of an object")),
        }
    }

    /// `("storage", type, key, device, length)`, with `None` behind it in old files.
    pub(super) fn storage(&mut self) -> Said<()> {
        let wrong = || "its pickle asks for an object outside of the file that is no storage".to_owned();
        let asked = self.pop()?;
        let (tag, dtype, key, len) = match self.made.row(asked).ok_or_else(wrong)? {
            &[Value::Text(tag), Value::Name(Known::Storage(dtype)), Value::Text(key), _, Value::Int(len)]
            | &[
                Value::Text(tag),
                Value::Name(Known::Storage(dtype)),
                Value::Text(key),
                _,
                Value::Int(len),
                Value::Nothing,
            ] => (tag, dtype, key, len),
            _ => return Err(wrong()),
        };
        let len = usize::try_from(len).map_err(|_| wrong())?;
        if tag != b"storage" {
            return Err(wrong());
        }
        self.held += 2;
        self.made.storages.push(Storage { key, dtype, len });
        self.stack.push(Value::Storage(self.made.storages.len() - 1));
        Ok(())
    }

    /// `(storage, offset, shape, strides, ...)`
    fn tensor(&mut self, arguments: &[Value<'a>]) -> Said<()> {
        let wrong = || "its pickle makes a tensor in a way that is not known".to_owned();
        let [Value::Storage(storage), Value::Int(offset), shape, strides, ..] = *arguments else {
            return Err(wrong());
        };
        let numbers = |row: Value<'a>| -> Said<Vec<usize>> {
            let row = self.made.row(row).filter(|row| row.len() <= MOST_DIMENSIONS).ok_or_else(wrong)?;
            let number = |value: &Value<'_>| match value {
                Value::Int(number) => usize::try_from(*number).map_err(|_| wrong()),
                _ => Err(wrong()),
            };
            row.iter().map(number).collect()
        };
        let (shape, strides) = (numbers(shape)?, numbers(strides)?);
        if shape.len() != strides.len() {
            return Err(wrong());
        }
        let offset = usize::try_from(offset).map_err(|_| wrong())?;
        self.held += 16;
        self.made.tensors.push(Walk { storage, offset, shape, strides });
        self.stack.push(Value::Tensor(self.made.tensors.len() - 1));
        Ok(())
    }
}
