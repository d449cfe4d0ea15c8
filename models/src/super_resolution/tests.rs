use super::*;

mod architectures;
mod real;
use crate::kernels::Isa;
use crate::noise::gaussian;
use crate::testing::{errors, exact};
use crate::{Precision, Unwatched, layers};

static SRVGG: &[u8] = include_bytes!("../../tests/golden/srvgg_tiny.safetensors");
static RRDB: &[u8] = include_bytes!("../../tests/golden/rrdb_tiny.safetensors");

/// The pictures of a golden file (three planes each, width, height), and what PyTorch makes of them.
fn golden(file: &[u8]) -> (usize, usize, Vec<Vec<f32>>, Vec<Vec<f32>>) {
    let tensors = layers::Weights::read(file, "golden", "").unwrap();
    let planes = |name| {
        let shape = tensors.shape(name).unwrap();
        let [_, _, height, width] = shape[..] else { panic!("{shape:?}") };
        let values = tensors.tensor(name, &shape).unwrap();
        (width, height, values.chunks(3 * width * height).map(<[f32]>::to_vec).collect())
    };
    let ((width, height, inputs), (_, _, outputs)) = (planes("in.x"), planes("out.x"));
    (width, height, inputs, outputs)
}

fn run(net: &SuperResolution, (width, height): (usize, usize), rgb: &[f32], tile: u32) -> Vec<f32> {
    net.run(Picture::new(width as u32, height as u32, rgb).unwrap(), tile, &mut Unwatched).unwrap()
}

#[test]
fn results_equal_pytorch() {
    for (name, file) in [("srvgg", SRVGG), ("rrdb", RRDB)] {
        let (width, height, inputs, outputs) = golden(file);
        for compute in exact().into_iter().chain([Compute::cpu(Precision::Bf16)]) {
            let narrow = matches!(compute, Compute::Cpu { precision: Precision::Bf16, .. });
            let family = compute.family();
            let net = SuperResolution::from_safetensors(file, compute).unwrap();
            assert_eq!(net.scale(), 4);
            for (input, wanted) in inputs.iter().zip(&outputs) {
                let (worst, root) = errors(wanted, &run(&net, (width, height), input, 4096));
                assert!(if narrow { root < 3e-2 } else { worst < 1e-5 }, "{name} on {family}: {worst}, {root}");
            }
        }
    }
}

#[test]
fn tiles_do_not_change_a_bit() {
    for (file, sizes) in [(SRVGG, [(1, 1), (3, 29), (53, 37)]), (RRDB, [(1, 1), (3, 90), (150, 90)])] {
        for precision in [Precision::F32, Precision::Bf16] {
            let net = SuperResolution::from_safetensors(file, Compute::cpu(precision)).unwrap();
            for (width, height) in sizes {
                let rgb: Vec<f32> = (0..3 * (width * height) as u32).map(|i| gaussian(5, i, 0, 0, 0)).collect();
                let bits =
                    |tile| run(&net, (width, height), &rgb, tile).into_iter().map(f32::to_bits).collect::<Vec<_>>();
                let whole = bits(1000);
                assert!(whole == bits(40) && whole == bits(17), "{width}x{height}, {precision:?}");
            }
        }
    }
}

#[test]
fn every_instruction_set_works() {
    for file in [SRVGG, RRDB] {
        let (width, height, inputs, outputs) = golden(file);
        for isa in Isa::ALL.into_iter().filter(|isa| isa.available()) {
            for (precision, most) in [(Precision::F32, 1e-5), (Precision::Bf16, 3e-2)] {
                let net = SuperResolution::from_safetensors(file, Compute::Cpu { isa, precision }).unwrap();
                let (_, root) = errors(&outputs[0], &run(&net, (width, height), &inputs[0], 4096));
                assert!(root < most, "{isa:?} {precision:?}: {root}");
            }
        }
    }
}

#[test]
fn wrong_files_are_errors() {
    let read = |file: &[u8]| SuperResolution::from_safetensors(file, Compute::default()).err();
    assert!(matches!(read(b"no"), Some(Error::Weights { .. })));
    let other: &[u8] = include_bytes!("../../tests/golden/clip_tiny.safetensors");
    assert!(read(other).unwrap().to_string().contains("for no network that is known"));
    for file in [SRVGG, RRDB] {
        assert!([0, 8, 100, file.len() - 1].into_iter().all(|len| read(&file[..len]).is_some()));
    }
    // One tensor less, or one of another name.
    let renamed = |file: &[u8], from: &str, to: &str| {
        let header = 8 + u64::from_le_bytes(file[..8].try_into().unwrap()) as usize;
        let text = String::from_utf8(file[8..header].to_vec()).unwrap();
        assert!(from.len() == to.len() && text.contains(from));
        read(&[&file[..8], text.replacen(from, to, 1).as_bytes(), &file[header..]].concat()).unwrap()
    };
    assert!(matches!(renamed(SRVGG, "body.8.weight", "body.9.weight"), Error::TensorShape { .. }));
    assert!(matches!(renamed(SRVGG, "body.8.bias", "body.9.bias"), Error::TensorMissing { .. }));
    assert!(matches!(renamed(RRDB, "body.1.rdb3.conv5.bias", "body.1.rdb3.conv6.bias"), Error::TensorMissing { .. }));
}
