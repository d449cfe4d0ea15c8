//! Every architecture against what PyTorch makes of the same random weights. `UPWEAVE_GOLDENS` names another folder of files than
//! the one in the repository; `tests/parity/architectures.py` writes them.

use super::*;
use std::path::PathBuf;

/// Largest error, relative to the largest value.
const MOST: f32 = 1e-4;

/// A golden file: the network, its input and what comes out of it.
struct Golden {
    name: String,
    net: SuperResolution,
    input: (usize, usize, Vec<f32>),
    wanted: Vec<f32>,
}

fn goldens(compute: &Compute) -> Vec<Golden> {
    let usual = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/architectures");
    let folder = std::env::var_os("UPWEAVE_GOLDENS").map_or(usual, PathBuf::from);
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let read = |path: PathBuf| {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let file = std::fs::read(&path).unwrap();
        let tensors = Tensors::read(&name, &file, None).unwrap();
        let planes = |what: &str| {
            let tensor = tensors.get(what).unwrap();
            let [1, colours, height, width] = tensor.shape()[..] else { panic!("{name}: {:?}", tensor.shape()) };
            // Grey stands for itself in each colour.
            (width, height, tensor.values().unwrap().repeat(3 / colours))
        };
        let (input, (_, _, wanted)) = (planes("in.x"), planes("out.x"));
        let weights = tensors
            .clone()
            .renamed(|name| (!name.starts_with("in.") && !name.starts_with("out.")).then(|| name.into()));
        let net = SuperResolution::of(&name, weights, compute.clone()).unwrap();
        Golden { name, net, input, wanted }
    };
    paths.into_iter().filter(|path| path.extension().is_some_and(|ending| ending == "safetensors")).map(read).collect()
}

#[test]
fn all_equal_pytorch() {
    let families = exact().map(|compute| (compute.family(), goldens(&compute)));
    assert!(families.iter().all(|(_, goldens)| !goldens.is_empty()));
    let mut wrong = vec![];
    let all = families.iter().flat_map(|(family, goldens)| goldens.iter().map(move |golden| (family, golden)));
    for (family, Golden { name, net, input: (width, height, rgb), wanted }) in all {
        let found = run(net, (*width, *height), rgb, 4096);
        assert_eq!(found.len(), wanted.len(), "{name}");
        let (worst, _) = errors(wanted, &found);
        println!("{name} on {family}: {}, x{}, error {worst:.1e}", net.architecture(), net.scale());
        if worst > MOST {
            wrong.push(format!("{name} on {family}: {worst:.1e}"));
        }
        assert!(net.flops_per_pixel() > 0.0 && net.bytes() > 0 && net.bytes_at_work(64, 64) > 0, "{name}");
    }
    assert!(wrong.is_empty(), "{wrong:?}");
}

#[test]
fn tiles_change_nothing_where_there_is_a_radius() {
    for Golden { name, net, input: (width, height, rgb), .. } in &goldens(&Compute::default()) {
        let whole = run(net, (*width, *height), rgb, 4096);
        // Wider than the network looks, so that there are cuts that count.
        let (wide, high) = (2 * net.radius().unwrap_or(0) as usize + 20, 19);
        let large: Vec<f32> = (0..3 * wide * high).map(|i| rgb[i * 7 % rgb.len()]).collect();
        match net.radius() {
            Some(_) => {
                let bits = |tile| run(net, (wide, high), &large, tile).iter().map(|v| v.to_bits()).collect::<Vec<_>>();
                assert!(bits(4096) == bits(13), "{name}");
            }
            // The others fade from tile to tile, and stay near.
            None => assert!(run(net, (*width, *height), rgb, 32).iter().all(|value| value.is_finite()), "{name}"),
        }
        assert!(whole.iter().all(|value| value.is_finite()));
    }
}

#[test]
fn the_smallest_pictures_work() {
    for Golden { name, net, input: (.., rgb), .. } in &goldens(&Compute::default()) {
        for (width, height) in [(1, 1), (2, 1), (1, 5), (7, 3)] {
            let out = run(net, (width, height), &rgb[..3 * width * height], 4096);
            assert_eq!(out.len(), 3 * width * height * net.scale().pow(2) as usize, "{name}");
            assert!(out.iter().all(|value| value.is_finite()), "{name}: {width}x{height}");
        }
    }
}

#[test]
fn a_tensor_too_few_or_of_another_shape_is_an_error() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden/architectures");
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let file = std::fs::read(&path).unwrap();
        let tensors = Tensors::read("model", &file, None).unwrap();
        let mut names: Vec<String> =
            tensors.names().filter(|name| name.ends_with(".weight")).map(str::to_owned).collect();
        names.truncate(40);
        for left_out in names {
            let fewer = tensors.clone().renamed(|name| (name != left_out).then(|| name.to_owned()));
            // What is left may be a smaller network of the same kind, but reading it must not panic.
            _ = SuperResolution::of("model", fewer, Compute::default());
        }
    }
}
