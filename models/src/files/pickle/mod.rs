//! Pickles: the part of Python's format that weights are written in, read without Python.
//!
//! A pickle is a program for a machine with a stack, and Python's machine can call anything by its name. This one knows
//! a dozen names, builds values of its own for them, and calls nothing; any other name ends the reading. Whatever it holds lies in
//! one list and refers to its parts by number, so that neither depth nor a circle can hurt.
//!
//! The opcodes are those of Python's `pickletools`, protocols 0 to 5 (`machine`); the names are in `names`, and what is made of them
//! in `made`.

mod machine;
mod made;
mod names;

use safetensors::Dtype;

use super::Said;
use machine::Machine;
use names::Known;

/// What stands on the stack.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Value<'a> {
    /// `None`.
    Nothing,
    Bool(bool),
    Int(i64),
    /// A whole number that no weights need the value of.
    Large(&'a [u8]),
    Float,
    Text(&'a [u8]),
    /// A tuple, list or set: its number.
    Row(usize),
    /// A dictionary: its number.
    Map(usize),
    /// What a name stands for.
    Name(Known),
    /// A place in the values behind the pickle: its number.
    Storage(usize),
    /// A tensor: its number.
    Tensor(usize),
    /// Something that no weights are in, such as the number type of an array.
    Other,
    /// Where a row begins.
    Mark,
}

/// A place in the values behind the pickle.
#[derive(Clone, Copy, Debug)]
pub(super) struct Storage<'a> {
    pub(super) key: &'a [u8],
    pub(super) dtype: Dtype,
    /// Numbers in it.
    pub(super) len: usize,
}

/// A tensor: a walk over a storage.
#[derive(Clone, Debug)]
pub(super) struct Walk {
    pub(super) storage: usize,
    pub(super) offset: usize,
    pub(super) shape: Vec<usize>,
    pub(super) strides: Vec<usize>,
}

/// What a pickle holds.
pub(super) struct Pickle<'a> {
    pub(super) root: Value<'a>,
    rows: Vec<Vec<Value<'a>>>,
    maps: Vec<Vec<(Value<'a>, Value<'a>)>>,
    pub(super) storages: Vec<Storage<'a>>,
    pub(super) tensors: Vec<Walk>,
    /// What is left of the file behind it.
    pub(super) rest: &'a [u8],
}

impl<'a> Pickle<'a> {
    /// Reads the pickle that the bytes begin with.
    pub(super) fn read(bytes: &'a [u8]) -> Said<Self> {
        let empty =
            Self { root: Value::Nothing, rows: vec![], maps: vec![], storages: vec![], tensors: vec![], rest: &[] };
        Machine::new(bytes, empty).run()
    }

    /// The values of a tuple, list or set.
    pub(super) fn row(&self, value: Value<'a>) -> Option<&[Value<'a>]> {
        match value {
            Value::Row(number) => Some(&self.rows[number]),
            _ => None,
        }
    }

    /// Which dictionaries hold tensors, by their numbers: themselves or in dictionaries inside, `depth` levels down at most.
    pub(super) fn with_tensors(&self, depth: usize) -> Vec<bool> {
        let direct = |pairs: &Vec<(_, Value<'_>)>| pairs.iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
        let mut holds: Vec<bool> = self.maps.iter().map(direct).collect();
        // Level by level, since a file may let dictionaries hold each other in circles, or one a million times.
        for _ in 0..depth {
            let inside = |value: &Value<'_>| matches!(value, Value::Map(number) if holds[*number]);
            let next = self.maps.iter().map(|pairs| pairs.iter().any(|(_, value)| inside(value)));
            holds = next.zip(&holds).map(|(inside, before)| inside || *before).collect();
        }
        holds
    }

    /// The keys and values of a dictionary, in their order.
    pub(super) fn map(&self, value: Value<'a>) -> Option<&[(Value<'a>, Value<'a>)]> {
        match value {
            Value::Map(number) => Some(&self.maps[number]),
            _ => None,
        }
    }
}
