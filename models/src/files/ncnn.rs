//! ncnn's pair of files: the `.param` lists the layers, the `.bin` holds their numbers one after the other, without names. The
//! tensors get the names that the same network has in PyTorch.

use std::collections::BTreeMap;

use safetensors::Dtype;

use super::{Said, Tensor, bytes};

/// The first line of a `.param`.
const MAGIC: &[u8] = b"7767517";
/// In front of weights that are f16.
const HALF: u32 = 0x0130_6b47;
/// In front of weights that are i8.
const BYTES: u32 = 0x000d_4b38;
/// Most layers.
const MOST_LAYERS: usize = 100_000;

/// Layers without numbers that the networks below are made of.
const PLAIN: [&str; 12] = [
    "Input",
    "Split",
    "BinaryOp",
    "Eltwise",
    "Concat",
    "ReLU",
    "Interp",
    "PixelShuffle",
    "Reorg",
    "Noop",
    "Crop",
    "Padding",
];

/// Whether this is a `.param`.
pub(super) fn is_param(file: &[u8]) -> bool {
    file.trim_ascii_start().starts_with(MAGIC)
}

/// A layer with numbers: the kind of it, and its tensors.
enum Layer<'a> {
    /// Weight and bias, and what the layer multiplies negative results by, if it does.
    Convolution(Tensor<'a>, Tensor<'a>, Option<f32>),
    /// Weight in PyTorch's order (in, out, rows, columns), and bias.
    Deconvolution(Tensor<'a>, Tensor<'a>),
    /// Slopes.
    Prelu(Tensor<'a>),
}

/// The tensors of a pair of files.
pub(super) fn read<'a>(param: &[u8], bin: &'a [u8]) -> Said<BTreeMap<String, Tensor<'a>>> {
    let text = std::str::from_utf8(param).map_err(|_| "the `.param` is no text")?;
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty()).skip(1);
    lines.next().ok_or("the `.param` ends after its first line")?;
    let mut bin = Bin(bin);
    let mut layers = Vec::new();
    for (line, count) in lines.zip(0..) {
        if count > MOST_LAYERS {
            return Err(format!("the `.param` has more than {MOST_LAYERS} layers"));
        }
        if let Some(layer) = layer(line, &mut bin)? {
            layers.push(layer);
        }
    }
    if !bin.0.is_empty() {
        return Err(format!(
            "the `.bin` has {} bytes more than the `.param` says: they belong to different models",
            bin.0.len()
        ));
    }
    named(layers)
}

/// Takes a line of the `.param` apart, and the numbers of its layer from the `.bin`.
fn layer<'a>(line: &str, bin: &mut Bin<'a>) -> Said<Option<Layer<'a>>> {
    let broken = || format!("a line of the `.param` cannot be read: `{}`", line.chars().take(80).collect::<String>());
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(name)) = (words.next(), words.next()) else { return Err(broken()) };
    let mut count = || words.next().and_then(|word| word.parse::<usize>().ok()).ok_or_else(broken);
    let blobs = count()?.checked_add(count()?).ok_or_else(broken)?;
    let settings: Vec<(&str, &str)> = words.skip(blobs).filter_map(|word| word.split_once('=')).collect();
    let text = |number: &str| settings.iter().find(|(key, _)| *key == number).map(|(_, value)| *value);
    let setting = |number: &str, usual: usize| match text(number) {
        Some(value) => value.parse().map_err(|_| broken()),
        None => Ok(usual),
    };
    match kind {
        "Convolution" | "Deconvolution" => {
            let (outputs, kernel) = (setting("0", 0)?, setting("1", 0)?);
            let (high, bias, len) = (setting("11", kernel)?, setting("5", 0)?, setting("6", 0)?);
            if setting("8", 0)? != 0 {
                return Err(format!("the weights of its layer `{name}` are 8 bits wide, which is not read"));
            }
            let patch =
                outputs.checked_mul(kernel).and_then(|filter| filter.checked_mul(high)).filter(|&patch| patch > 0);
            let inputs =
                patch.filter(|patch| len > 0 && len % patch == 0).map(|patch| len / patch).ok_or_else(broken)?;
            let weight = bin.weights(&[outputs, inputs, high, kernel], name)?;
            let bias = match bias {
                0 => Tensor::new(Dtype::F32, vec![outputs], bin.zeros(outputs)?)?,
                _ => bin.plain(outputs, name)?,
            };
            if kind == "Convolution" {
                let slope = match setting("9", 0)? {
                    0 => None,
                    1 => Some(0.0),
                    2 => Some(text("-23310").and_then(|list| list.split(',').nth(1)?.parse().ok()).ok_or_else(broken)?),
                    other => return Err(format!("its layer `{name}` has the activation {other}, which is not read")),
                };
                return Ok(Some(Layer::Convolution(weight, bias, slope)));
            }
            let (stride, pad) = (setting("3", 1)?, setting("4", 0)?);
            let same = setting("13", stride)? == stride && setting("14", pad)? == pad && setting("2", 1)? == 1;
            let others = [setting("9", 0)?, setting("18", 0)?, setting("20", 0)?];
            if (kernel, high, stride, pad) != (4, 4, 2, 3) || !same || others != [0; 3] {
                return Err(format!(
                    "its layer `{name}` is a `Deconvolution` of another kind than that of waifu2x: take the `.pth` of this model"
                ));
            }
            Ok(Some(Layer::Deconvolution(swapped(&weight)?, bias)))
        }
        "PReLU" => Ok(Some(Layer::Prelu(bin.plain(setting("0", 0)?, name)?))),
        _ if PLAIN.contains(&kind) => Ok(None),
        _ => Err(format!(
            "its layer `{name}` is a `{}`: of ncnn's models the families SRVGGNetCompact (realesr-*), RRDBNet \
             (realesrgan-*, ESRGAN) and UpConv7 (waifu2x) are read; take the `.pth` of this one",
            kind.chars().take(40).collect::<String>()
        )),
    }
}

/// Weights (out, in, rows, columns) as (in, out, rows, columns): ncnn puts those of a deconvolution the other way round than PyTorch.
fn swapped<'a>(weight: &Tensor<'_>) -> Said<Tensor<'a>> {
    let &[outputs, inputs, high, wide] = weight.shape() else { return Err("a layer has no filters".into()) };
    // The bytes are those of the file, so a second copy of them cannot be large.
    let filter = weight.bytes().len() / (outputs * inputs).max(1);
    let place = |i: usize| (i % outputs * inputs + i / outputs) * filter;
    let values: Vec<u8> = (0..outputs * inputs).flat_map(|i| &weight.bytes()[place(i)..][..filter]).copied().collect();
    Tensor::new(weight.numbers(), vec![inputs, outputs, high, wide], values)
}

/// What is left of the `.bin`.
struct Bin<'a>(&'a [u8]);

impl<'a> Bin<'a> {
    fn take(&mut self, len: Option<usize>, name: &str) -> Said<&'a [u8]> {
        let (taken, rest) = len.and_then(|len| self.0.split_at_checked(len)).ok_or_else(|| {
            format!("the `.bin` is cut off, or belongs to another `.param`: the numbers of layer `{name}` are missing")
        })?;
        self.0 = rest;
        Ok(taken)
    }

    /// Weights with a mark in front that tells how they are written.
    fn weights(&mut self, shape: &[usize], name: &str) -> Said<Tensor<'a>> {
        let mark = self.take(Some(4), name)?.iter().rev().fold(0u32, |mark, byte| mark << 8 | u32::from(*byte));
        let dtype = match mark {
            0 => Dtype::F32,
            HALF => Dtype::F16,
            BYTES => return Err(format!("the weights of its layer `{name}` are 8 bits wide, which is not read")),
            _ => return Err(format!("the weights of its layer `{name}` are compressed, which is not read")),
        };
        let len = bytes(dtype, shape);
        let data = self.take(len, name)?;
        // The next numbers begin at four bytes.
        self.take(len.map(|len| len.next_multiple_of(4) - len), name)?;
        Tensor::new(dtype, shape.to_vec(), data)
    }

    /// Numbers that are always f32.
    fn plain(&mut self, count: usize, name: &str) -> Said<Tensor<'a>> {
        Tensor::new(Dtype::F32, vec![count], self.take(bytes(Dtype::F32, &[count]), name)?)
    }

    /// A bias that is not there; one number for each filter of the weights that were read, so it cannot be large.
    fn zeros(&self, count: usize) -> Said<Vec<u8>> {
        Ok(vec![0; bytes(Dtype::F32, &[count]).ok_or("a layer has too many channels")?])
    }
}

/// Names for the layers: the families are told by the order of their layers.
fn named(layers: Vec<Layer<'_>>) -> Said<BTreeMap<String, Tensor<'_>>> {
    let any = |is: fn(&Layer<'_>) -> bool| layers.iter().any(is);
    let names = if any(|layer| matches!(layer, Layer::Deconvolution(..))) {
        upconv7(&layers)
    } else if any(|layer| matches!(layer, Layer::Prelu(_))) {
        compact(&layers)
    } else {
        rrdb(layers.len())
    };
    let names = names.ok_or(
        "its layers are in the order of no family that is read from ncnn (SRVGGNetCompact, RRDBNet, UpConv7): take the `.pth` \
         of this model",
    )?;
    let mut named = BTreeMap::new();
    for (name, layer) in names.into_iter().zip(layers) {
        match layer {
            Layer::Convolution(weight, bias, _) | Layer::Deconvolution(weight, bias) => {
                named.insert(format!("{name}.weight"), weight);
                named.insert(format!("{name}.bias"), bias);
            }
            Layer::Prelu(slopes) => _ = named.insert(format!("{name}.weight"), slopes),
        }
    }
    Ok(named)
}

/// SRVGGNetCompact: convolutions and slopes in turn. What a `.param` makes smaller behind it (as that of the factor 2 does) is
/// left to whoever enlarges.
fn compact(layers: &[Layer<'_>]) -> Option<Vec<String>> {
    let turn = |(index, layer): (usize, &Layer<'_>)| matches!(layer, Layer::Prelu(_)) == (index % 2 == 1);
    let right = layers.len() % 2 == 1 && layers.iter().enumerate().all(turn);
    right.then(|| (0..layers.len()).map(|index| format!("body.{index}")).collect())
}

/// UpConv7: convolutions with one slope, and what enlarges. PyTorch counts the rectifiers between them, too.
fn upconv7(layers: &[Layer<'_>]) -> Option<Vec<String>> {
    let (Layer::Deconvolution(..), convs) = layers.split_last()? else { return None };
    let right =
        |layer: &Layer<'_>| matches!(layer, Layer::Convolution(_, _, Some(slope)) if (slope - 0.1).abs() < 1e-6);
    convs.iter().all(right).then(|| (0..layers.len()).map(|index| format!("net.{}", 2 * index)).collect())
}

/// RRDBNet: three dense blocks of five convolutions in each block, one in front, one behind, and four that enlarge.
fn rrdb(layers: usize) -> Option<Vec<String>> {
    let blocks = layers.checked_sub(6).filter(|inner| *inner > 0 && inner % 15 == 0)? / 15;
    let mut names = vec!["conv_first".to_owned()];
    for block in 0..blocks {
        names.extend((0..15).map(|i| format!("body.{block}.rdb{}.conv{}", i / 5 + 1, i % 5 + 1)));
    }
    names.extend(["conv_body", "conv_up1", "conv_up2", "conv_hr", "conv_last"].map(str::to_owned));
    Some(names)
}
