use super::*;

mod gadgets;
mod hostile;
mod real;

/// The same network in every format.
const SAFETENSORS: &[u8] = include_bytes!("../../tests/golden/formats.safetensors");
const ZIP: &[u8] = include_bytes!("../../tests/golden/formats.pth");
const LEGACY: &[u8] = include_bytes!("../../tests/golden/formats.legacy.pth");
const PARAM: &[u8] = include_bytes!("../../tests/golden/formats.param");
const BIN: &[u8] = include_bytes!("../../tests/golden/formats.bin");
const HALF_BIN: &[u8] = include_bytes!("../../tests/golden/formats.half.bin");
const ONNX: &[u8] = include_bytes!("../../tests/golden/formats.onnx");

fn message(file: &[u8]) -> String {
    Tensors::read("model", file, None).expect_err("it must be refused").to_string()
}

/// Names, shapes and values.
fn all(tensors: &Tensors<'_>) -> Vec<(String, Vec<usize>, Vec<f32>)> {
    let named = tensors.named.iter();
    named.map(|(name, tensor)| (name.clone(), tensor.shape.clone(), tensor.values().unwrap())).collect()
}

#[test]
fn every_format_gives_the_same_tensors() {
    let wanted = all(&Tensors::read("model", SAFETENSORS, None).unwrap());
    assert_eq!(wanted.len(), 8);
    for (file, beside, format) in [
        (ZIP, None, Format::TorchZip),
        (LEGACY, None, Format::TorchLegacy),
        (PARAM, Some(BIN), Format::Ncnn),
        (BIN, Some(PARAM), Format::Ncnn),
        (HALF_BIN, Some(PARAM), Format::Ncnn),
        (ONNX, None, Format::Onnx),
    ] {
        let tensors = Tensors::read("model", file, beside).unwrap();
        assert_eq!(tensors.format(), format);
        assert_eq!(all(&tensors), wanted, "{format:?}");
    }
}

#[test]
fn what_is_converted_is_the_same() {
    let tensors = Tensors::read("model", ZIP, None).unwrap();
    let metadata = HashMap::from([("about".to_owned(), "a test".to_owned())]);
    let file = tensors.to_safetensors("model", metadata).unwrap();
    let again = Tensors::read("model", &file, None).unwrap();
    assert_eq!((again.format(), all(&again)), (Format::Safetensors, all(&tensors)));
}

#[test]
fn pairs_of_ncnn_want_each_other() {
    assert!(message(PARAM).contains("the `.bin` of the same name"));
    assert!(message(BIN).contains("a `.bin` of ncnn needs its `.param` beside it"));
    let both = |param: &[u8], bin: &[u8]| Tensors::read("model", param, Some(bin)).unwrap_err().to_string();
    assert!(both(PARAM, &BIN[..BIN.len() - 1]).contains("cut off"));
    assert!(both(PARAM, &[BIN, b"1234"].concat()).contains("4 bytes more"));
    let renamed = |to: &str| String::from_utf8(PARAM.to_vec()).unwrap().replace("PReLU", to);
    assert!(both(renamed("Pooling").as_bytes(), BIN).contains("`Pooling`"));
    assert!(both(renamed("Deconvolution").as_bytes(), BIN).contains("cannot be read"));
    let deconvolution = "7767517\n1 1\nDeconvolution a 1 1 b c 0=1 1=2 3=2 5=0 6=4\n";
    let weights = [0u32.to_le_bytes(), [0; 4], [0; 4], [0; 4], [0; 4]].concat();
    assert!(both(deconvolution.as_bytes(), &weights).contains("of another kind than that of waifu2x"));
    let huge = "7767517\n1 1\nConvolution a 1 1 b c 0=4000000000 1=3 6=0\n";
    assert!(both(huge.as_bytes(), BIN).contains("cannot be read"));
    let huge = "7767517\n1 1\nConvolution a 1 1 b c 0=4000000000 1=3 6=36000000000\n";
    assert!(both(huge.as_bytes(), BIN).contains("cut off"));
}

#[test]
fn files_of_others_are_named() {
    for (file, part) in [
        (&b"GGUF\x03\0\0\0\0\0\0\0\0"[..], "GGUF"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1c\0\0\0TFL3\0\0\0\0", "TensorFlow Lite"),
        (b"\x93NUMPY\x01\0", "NumPy"),
        (b"<!DOCTYPE html><html>", "download the file itself"),
        (b"version https://git-lfs.github.com/spec/v1\n", "download the file itself"),
        (b"", "empty"),
        (b"\0\0\0\0\0\0\0\0\0\0\0\0", "no known format"),
        (b"\x89PNG\r\n\x1a\n", "no known format"),
    ] {
        assert!(message(file).contains(part), "{}", message(file));
    }
}
