//! Pickles: the part of Python's format that weights are written in, read without Python.
//!
//! A pickle is a program for a machine with a stack, and Python's machine can call anything by its name. This one knows
//! a dozen names, builds values of its own for them, and calls nothing; any other name ends the reading. Whatever it holds lies in
//! one list and refers to its parts by number, so that neither depth nor a circle can hurt.
//!
//! The opcodes are those of Python's `pickletools`, protocols 0 to 5.

use std::collections::HashMap;

use safetensors::Dtype;

use super::Said;

/// Most values that one pickle may hold: a hundred thousand tensors take less than three million.
const MOST_VALUES: usize = 4_000_000;
/// Most steps of the machine.
const MOST_STEPS: usize = 40_000_000;
/// Most bytes of one name or text.
const MOST_TEXT: usize = 1 << 20;

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

/// The names that mean something here.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Known {
    OrderedDict,
    Rebuild,
    Parameter,
    Storage(Dtype),
    Size,
    Set,
    /// Calling it gives something without weights.
    Inert,
}

impl Known {
    fn of(module: &[u8], name: &[u8]) -> Option<Self> {
        let (module, name) = (std::str::from_utf8(module).ok()?, std::str::from_utf8(name).ok()?);
        Some(match (module, name) {
            ("collections", "OrderedDict") => Self::OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2" | "_rebuild_tensor") => Self::Rebuild,
            ("torch._utils", "_rebuild_parameter") => Self::Parameter,
            ("torch", "Size") => Self::Size,
            ("builtins" | "__builtin__", "set") => Self::Set,
            ("torch", "device") => Self::Inert,
            // A dictionary of tensors, as training programs for embeddings keep them.
            ("torch.nn.modules.container", "ParameterDict") => Self::OrderedDict,
            // The key under which checkpoints of the first Stable Diffusion keep their scores; nothing is made of it.
            ("pytorch_lightning.callbacks.model_checkpoint", "ModelCheckpoint") => Self::Inert,
            ("torch", "float64" | "float32" | "float16" | "bfloat16" | "int64" | "int32" | "uint8" | "bool") => {
                Self::Inert
            }
            ("numpy", "dtype") | ("numpy.core.multiarray" | "numpy._core.multiarray", "scalar") => Self::Inert,
            ("_codecs", "encode") => Self::Inert,
            ("torch", "DoubleStorage") => Self::Storage(Dtype::F64),
            ("torch", "FloatStorage") => Self::Storage(Dtype::F32),
            ("torch", "HalfStorage") => Self::Storage(Dtype::F16),
            ("torch", "BFloat16Storage") => Self::Storage(Dtype::BF16),
            ("torch", "LongStorage") => Self::Storage(Dtype::I64),
            ("torch", "IntStorage") => Self::Storage(Dtype::I32),
            ("torch", "ShortStorage") => Self::Storage(Dtype::I16),
            ("torch", "CharStorage") => Self::Storage(Dtype::I8),
            ("torch", "ByteStorage") => Self::Storage(Dtype::U8),
            ("torch", "BoolStorage") => Self::Storage(Dtype::BOOL),
            _ => return None,
        })
    }
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
        let mut machine = Machine {
            input: bytes,
            stack: Vec::new(),
            memo: HashMap::new(),
            held: 0,
            made: Self {
                root: Value::Nothing,
                rows: vec![],
                maps: vec![],
                storages: vec![],
                tensors: vec![],
                rest: &[],
            },
        };
        machine.run()?;
        Ok(machine.made)
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

/// The machine.
struct Machine<'a> {
    input: &'a [u8],
    stack: Vec<Value<'a>>,
    memo: HashMap<u64, Value<'a>>,
    /// Values in rows, dictionaries and the memo.
    held: usize,
    made: Pickle<'a>,
}

impl<'a> Machine<'a> {
    fn run(&mut self) -> Said<()> {
        for _ in 0..MOST_STEPS {
            if self.step()? {
                return Ok(());
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

    fn top(&self) -> Said<Value<'a>> {
        self.stack.last().copied().filter(|value| *value != Value::Mark).ok_or_else(empty)
    }

    fn pop(&mut self) -> Said<Value<'a>> {
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

    fn row(&mut self, values: Vec<Value<'a>>) {
        self.held += values.len() + 1;
        self.made.rows.push(values);
        self.stack.push(Value::Row(self.made.rows.len() - 1));
    }

    fn map(&mut self, pairs: Vec<(Value<'a>, Value<'a>)>) {
        self.held += 2 * pairs.len() + 1;
        self.made.maps.push(pairs);
        self.stack.push(Value::Map(self.made.maps.len() - 1));
    }

    fn append(&mut self, values: &[Value<'a>]) -> Said<()> {
        match self.top()? {
            Value::Row(number) => self.made.rows[number].extend_from_slice(values),
            Value::Other => {}
            _ => return Err("its pickle appends to something that is no list".into()),
        }
        self.held += values.len();
        Ok(())
    }

    fn set_items(&mut self, values: &[Value<'a>]) -> Said<()> {
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
        match Known::of(module, name) {
            Some(known) => {
                self.stack.push(Value::Name(known));
                Ok(())
            }
            None => {
                let [module, name] = [module, name].map(shown);
                let hint = if module.starts_with("torch.nn") || module.contains("arch") || module.contains("model") {
                    "it holds a whole program object instead of weights: load it where it comes from, and save its `state_dict()`"
                } else {
                    "weights never need that; if you trust the file, load it in PyTorch and save its `state_dict()`"
                };
                Err(format!("its pickle wants to use `{module}.{name}`, which is refused, and nothing was run: {hint}"))
            }
        }
    }

    /// What calling a name gives.
    fn call(&mut self) -> Said<()> {
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
    fn build(&mut self) -> Said<()> {
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
    fn storage(&mut self) -> Said<()> {
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
            let row = self.made.row(row).filter(|row| row.len() <= super::MOST_DIMENSIONS).ok_or_else(wrong)?;
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

/// A text without its quotes.
fn unquoted(line: &[u8]) -> &[u8] {
    match line {
        [b'\'', inner @ .., b'\''] | [b'"', inner @ .., b'"'] => inner,
        _ => line,
    }
}

/// A name for a message: short, and nothing that a terminal would obey.
fn shown(text: &[u8]) -> String {
    let clean = |c: char| if c.is_control() { '?' } else { c };
    String::from_utf8_lossy(&text[..text.len().min(80)]).chars().map(clean).collect()
}

fn cut() -> String {
    "it is cut off in the middle of its pickle".to_owned()
}

fn empty() -> String {
    "its pickle takes a value that is not there".to_owned()
}

fn refused(what: &str) -> String {
    format!("its pickle {what}, which weights never need: refused, and nothing was run")
}
