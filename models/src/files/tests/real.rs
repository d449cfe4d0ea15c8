//! Real files, where `UPWEAVE_DATA` names the folder that has them.

use super::*;
use std::path::PathBuf;

#[test]
fn real_files_are_read() {
    let Some(data) = std::env::var_os("UPWEAVE_DATA") else {
        eprintln!("skipped: UPWEAVE_DATA names no folder");
        return;
    };
    let folder = PathBuf::from(data).join("weights");
    let mut read = 0;
    for entry in
        std::fs::read_dir(&folder).unwrap().flat_map(|folder| std::fs::read_dir(folder.unwrap().path()).unwrap())
    {
        let path = entry.unwrap().path();
        let name = path.display().to_string();
        let file = std::fs::read(&path).unwrap();
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or("");
        let beside = std::fs::read(path.with_extension("bin")).ok().filter(|_| ending == "param");
        let tensors = Tensors::read(&name, &file, beside.as_deref());
        match ending {
            "pth" | "safetensors" | "onnx" => {
                let tensors = tensors.unwrap();
                assert!(tensors.names().count() >= 5, "{name}");
                assert!(
                    tensors
                        .named
                        .values()
                        .any(|tensor| tensor.values().is_some_and(|values| values.iter().all(|v| v.is_finite())))
                );
                assert!(
                    !tensors.names().any(|name| name.starts_with("module.") || name.starts_with("params")),
                    "{name}"
                );
                read += 1;
            }
            "pb" => assert!(tensors.unwrap_err().to_string().contains("TensorFlow")),
            "param" if name.contains("realesr") && beside.is_some() => {
                let tensors = tensors.unwrap();
                let plain = std::fs::read(path.with_file_name("realesr-animevideov3-x4.repacked.safetensors")).unwrap();
                assert_eq!(all(&tensors), all(&Tensors::read("plain", &plain, None).unwrap()));
                read += 1;
            }
            "param" if beside.is_some() => {
                // waifu2x: what is swapped on the way is the deconvolution alone.
                let tensors = tensors.unwrap();
                assert_eq!(tensors.names().count(), 14, "{name}");
                assert_eq!(tensors.get("net.12.weight").unwrap().shape(), [256, 3, 4, 4]);
                read += 1;
            }
            // No weights, but the half of a pair, or a text.
            _ => _ = tensors.unwrap_err(),
        }
    }
    assert!(read >= 25, "{read}");
}
