//! Checkpoints of PyTorch: a pickle that names tensors, and their values behind it.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap, HashSet};

use super::names::WRAPPERS;
use super::pickle::{Pickle, Storage, Value, Walk};
use super::{Said, Tensor, bytes, zip};
use crate::limits::MOST_TENSORS;

/// The first value of a file from before version 1.6: 0x1950a86a20f9469cfc6c.
const MAGIC: [u8; 10] = [0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19];
/// Most bytes of the pickle in a zip.
const MOST_PICKLE: usize = 256 << 20;
/// Deepest nesting of dictionaries that is searched for weights.
const MOST_DEPTH: usize = 16;
/// Levels of dictionaries that the names of weights are put together from.
const MOST_INSIDE: usize = 4;

/// Whether this begins like a pickle.
pub(super) fn is_legacy(file: &[u8]) -> bool {
    // The protocol and the opcode of a long number, text or mark; protocols 0 and 1 do not tell themselves.
    matches!(file, [0x80, 1..=5, ..]) || matches!(file, [b'c' | b'(' | b'L', first, ..] if first.is_ascii_graphic())
}

/// The tensors of a zip.
pub(super) fn zipped(file: &[u8]) -> Said<BTreeMap<String, Tensor<'_>>> {
    let entries = zip::entries(file)?;
    let mut pickles = entries.keys().filter(|name| **name == "data.pkl" || name.ends_with("/data.pkl"));
    let (Some(&name), None) = (pickles.next(), pickles.next()) else {
        return Err("it is a zip, but no checkpoint of PyTorch: there is not one `data.pkl` in it; unpack it, and name the model \
                    file inside"
            .into());
    };
    let folder = &name[..name.len() - "data.pkl".len()];
    if entries.keys().any(|name| name.strip_prefix(folder).is_some_and(|name| name.starts_with("code/"))) {
        return Err(
            "it is a program (TorchScript), which is never run: save the `state_dict()` of the model instead".into()
        );
    }
    let order = entries.get(format!("{folder}byteorder").as_str());
    if order.is_some_and(|order| *order != b"little") {
        return Err(
            "its values are written with the highest byte first, which is not read: save it on another machine".into(),
        );
    }
    let pickle = entries[name];
    if pickle.len() > MOST_PICKLE {
        return Err(format!("its pickle has {} bytes, above the limit of {MOST_PICKLE}", pickle.len()));
    }
    if zip::is_zip(pickle) {
        return Err("its pickle is another zip, which is not looked into".into());
    }
    let pickle = Pickle::read(pickle)?;
    let values = |storage: &Storage<'_>| {
        let key = std::str::from_utf8(storage.key).ok()?;
        entries.get(format!("{folder}data/{key}").as_str()).copied()
    };
    weights(&pickle, values, file.len())
}

/// The tensors of a row of pickles.
pub(super) fn legacy(file: &[u8]) -> Said<BTreeMap<String, Tensor<'_>>> {
    let magic = Pickle::read(file)?;
    if magic.root != Value::Large(&MAGIC) {
        return Err("it is a pickle, but no checkpoint of PyTorch".into());
    }
    let version = Pickle::read(magic.rest)?;
    if version.root != Value::Int(1001) {
        return Err("it is a checkpoint of PyTorch of an unknown version".into());
    }
    let system = Pickle::read(version.rest)?;
    let little =
        |(key, value): &(Value<'_>, Value<'_>)| *key != Value::Text(b"little_endian") || *value == Value::Bool(true);
    if !system.map(system.root).unwrap_or_default().iter().all(little) {
        return Err(
            "its values are written with the highest byte first, which is not read: save it on another machine".into(),
        );
    }
    let pickle = Pickle::read(system.rest)?;
    let keys = Pickle::read(pickle.rest)?;
    let sizes: HashMap<&[u8], _> = pickle.storages.iter().map(|storage| (storage.key, storage.dtype)).collect();
    let mut found: HashMap<&[u8], &[u8]> = HashMap::new();
    let mut rest = keys.rest;
    for key in keys.row(keys.root).ok_or("it does not say which values follow")? {
        let Value::Text(key) = key else { return Err("it names values by something that is no text".into()) };
        let dtype = *sizes.get(key).ok_or("it holds values that belong to no tensor")?;
        let cut = || "it is cut off: the values of its tensors end too early".to_owned();
        let (len, behind) = rest.split_first_chunk().ok_or_else(cut)?;
        let len = usize::try_from(u64::from_le_bytes(*len)).map_err(|_| cut())?;
        let (values, behind) = bytes(dtype, &[len]).and_then(|len| behind.split_at_checked(len)).ok_or_else(cut)?;
        found.insert(key, values);
        rest = behind;
    }
    weights(&pickle, |storage| found.get(storage.key).copied(), file.len())
}

/// The weights that a pickle names; `values` gives the bytes of a storage.
fn weights<'a>(
    pickle: &Pickle<'a>,
    values: impl Fn(&Storage<'_>) -> Option<&'a [u8]>,
    file: usize,
) -> Said<BTreeMap<String, Tensor<'a>>> {
    let mut walks = Vec::new();
    let holds = pickle.with_tensors(MOST_INSIDE);
    let root = unwrapped(pickle, &holds)?;
    collect(pickle, root, "", 0, &mut HashSet::new(), &mut walks)?;
    let mut named = BTreeMap::new();
    // Tensors that do not lie in one piece are copied: all of them together may not be larger than the file.
    let mut room = file;
    for (name, walk) in walks {
        let storage = &pickle.storages[walk.storage];
        let data = values(storage).ok_or_else(|| format!("the values of its tensor `{name}` are missing"))?;
        let told = bytes(storage.dtype, &[storage.len]).filter(|told| *told <= data.len());
        if told.is_none() {
            return Err(format!("the values of its tensor `{name}` are cut off"));
        }
        let tensor = tensor(walk, storage, data, &mut room).map_err(|message| format!("tensor `{name}`: {message}"))?;
        named.insert(name, tensor);
    }
    Ok(named)
}

/// The dictionary that holds the weights, inside of what training programs put around it.
fn unwrapped<'a>(pickle: &Pickle<'a>, holds: &[bool]) -> Said<Value<'a>> {
    let holds = |value: Value<'_>| matches!(value, Value::Map(number) if holds[number]);
    let mut value = pickle.root;
    for _ in 0..MOST_DEPTH {
        let Some(pairs) = pickle.map(value) else {
            return Err("it holds no dictionary of tensors: save the `state_dict()` of the model".into());
        };
        let inside = |key: &str| {
            let found = pairs.iter().rev().find(|(name, _)| *name == Value::Text(key.as_bytes()));
            found.map(|&(_, value)| value).filter(|&value| holds(value))
        };
        let tensors = pairs.iter().any(|(_, value)| matches!(value, Value::Tensor(_)));
        let mut rows = pairs.iter().filter(|&&(_, value)| holds(value)).map(|&(_, value)| value);
        let only = || rows.next().filter(|_| !tensors && rows.next().is_none());
        match WRAPPERS.iter().find_map(|key| inside(key)).or_else(only) {
            Some(inner) => value = inner,
            None => return Ok(value),
        }
    }
    Err(format!("its weights lie deeper than {MOST_DEPTH} dictionaries"))
}

/// All tensors of a dictionary and of those inside it, by names with dots between.
fn collect<'p>(
    pickle: &'p Pickle<'_>,
    map: Value<'_>,
    before: &str,
    depth: usize,
    seen: &mut HashSet<usize>,
    found: &mut Vec<(String, &'p Walk)>,
) -> Said<()> {
    // The values are the pickle's own, whatever the lifetime of this copy of their number.
    let Value::Map(number) = map else { return Ok(()) };
    // A file may let dictionaries hold each other in circles, or one a million times.
    if !seen.insert(number) {
        return Ok(());
    }
    for (key, value) in pickle.map(Value::Map(number)).unwrap_or_default() {
        let Value::Text(key) = key else { continue };
        let name = format!("{before}{}", String::from_utf8_lossy(&key[..key.len().min(4096)]));
        match value {
            Value::Tensor(number) => {
                if found.len() > MOST_TENSORS {
                    return Err(format!("it has more than {MOST_TENSORS} tensors"));
                }
                found.push((name, &pickle.tensors[*number]));
            }
            Value::Map(_) if depth < MOST_INSIDE => {
                collect(pickle, *value, &format!("{name}."), depth + 1, seen, found)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// The values of a tensor.
fn tensor<'a>(walk: &Walk, storage: &Storage<'_>, data: &'a [u8], room: &mut usize) -> Said<Tensor<'a>> {
    let Walk { offset, shape, strides, .. } = walk;
    let each = storage.dtype.bitsize() / 8;
    let outside = || format!("its shape {shape:?} leaves the values that it has");
    let len = bytes(storage.dtype, shape).ok_or_else(outside)?;
    // The last value that is looked at, if there is one.
    let mut last = *offset;
    for (dimension, stride) in shape.iter().zip(strides) {
        let far = dimension.saturating_sub(1).checked_mul(*stride).ok_or_else(outside)?;
        last = last.checked_add(far).ok_or_else(outside)?;
    }
    if len > 0 && last >= storage.len {
        return Err(outside());
    }
    let packed = shape.iter().zip(strides).rev().try_fold(1usize, |step, (dimension, stride)| {
        // Where there is one row only, how far it is to the next does not matter.
        (*dimension <= 1 || *stride == step).then(|| step.saturating_mul(*dimension))
    });
    if len == 0 {
        return Tensor::new(storage.dtype, shape.clone(), Cow::Borrowed(&data[..0]));
    }
    if packed.is_some() {
        return Tensor::new(storage.dtype, shape.clone(), &data[offset * each..offset * each + len]);
    }
    *room = room.checked_sub(len).ok_or("more is to be copied than the file holds")?;
    let mut values = Vec::new();
    values.try_reserve_exact(len).map_err(|_| "there is no memory for it".to_owned())?;
    let mut place = vec![0; shape.len()];
    let mut at = *offset;
    while values.len() < len {
        values.extend_from_slice(&data[at * each..][..each]);
        for axis in (0..shape.len()).rev() {
            place[axis] += 1;
            at += strides[axis];
            if place[axis] < shape[axis] {
                break;
            }
            at -= strides[axis] * shape[axis];
            place[axis] = 0;
        }
    }
    Tensor::new(storage.dtype, shape.clone(), values)
}
