//! Files that are known for what they are, and that nothing here is done with: told by their tensors, so that people learn why.

use crate::files::{Tensor, Tensors};

/// What a file holds, as the end of "it holds ..."; nothing when it is none of these.
const KNOWN: [fn(&Tensors<'_>) -> Option<String>; 3] = [measure, face_mesh, tiny_autoencoder];

/// Channels of Stable Diffusion's latents.
const LATENTS: usize = 4;

/// What tensors are for, if they are known, and for nothing that enlarges, restores or finds anything.
pub(crate) fn told(tensors: &Tensors<'_>) -> Option<String> {
    KNOWN.iter().find_map(|known| known(tensors))
}

fn shape<'t>(tensors: &'t Tensors<'_>, name: &str) -> &'t [usize] {
    tensors.get(name).map_or(&[], Tensor::shape)
}

/// The layers that LPIPS (Zhang et al. 2018) learned on top of another network.
fn measure(tensors: &Tensors<'_>) -> Option<String> {
    let head = |i: usize| matches!(shape(tensors, &format!("lin{i}.model.1.weight")), [1, _, 1, 1]);
    let told = "the linear heads of LPIPS, a measure of how alike pictures look: nothing to enlarge with";
    (0..5).all(head).then(|| told.into())
}

/// The network that follows BlazeFace in MediaPipe: three numbers for each of 468 points.
fn face_mesh(tensors: &Tensors<'_>) -> Option<String> {
    let ends = (shape(tensors, "backbone2a.6.weight"), shape(tensors, "backbone2b.4.weight"));
    let told = "the landmarks of a face that was cut out beforehand (MediaPipe's face mesh): it finds no faces";
    matches!(ends, ([1404, ..], [1, ..])).then(|| told.into())
}

/// One half of a network of TAESD's layout.
fn tiny_autoencoder(tensors: &Tensors<'_>) -> Option<String> {
    // The numbers of its layers are all that its names begin with.
    let last = tensors.names().filter_map(|name| name.split_once('.')?.0.parse::<usize>().ok()).max()?;
    let end = shape(tensors, &format!("{last}.weight"));
    let (half, latents) = match (shape(tensors, "0.weight"), shape(tensors, "1.weight"), end) {
        (&[width, 3, 3, 3], _, &[latents, from, 3, 3]) if from == width && last > 8 => ("encoder", latents),
        (_, &[width, latents, 3, 3], &[3, from, 3, 3]) if from == width && last > 8 => ("decoder", latents),
        _ => return None,
    };
    let block = if half == "encoder" { "1.conv.4.weight" } else { "3.conv.4.weight" };
    tensors.get(block)?;
    Some(match latents {
        LATENTS => format!("the {half} of TAESD, which shows latents of Stable Diffusion: nothing to enlarge with"),
        _ => format!(
            "the {half} of an autoencoder like TAESD, for a latent space of {latents} channels: Stable Diffusion's has {LATENTS}"
        ),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::Format;
    use safetensors::Dtype;

    /// Tensors of zeros.
    fn told_of(tensors: &[(String, &[usize])]) -> Option<String> {
        let zeros = |shape: &[usize]| {
            let bytes = vec![0; 2 * shape.iter().product::<usize>()];
            Tensor::new(Dtype::F16, shape.to_vec(), bytes).unwrap()
        };
        let named = tensors.iter().map(|(name, shape)| (name.clone(), zeros(shape))).collect();
        told(&Tensors::of(Format::TorchZip, named))
    }

    #[test]
    fn what_is_known_is_told_by_its_shapes() {
        let heads = |last: &'static [usize]| -> Vec<(String, &[usize])> {
            let head = |i: usize| (format!("lin{i}.model.1.weight"), if i == 4 { last } else { &[1, 64, 1, 1][..] });
            (0..5).map(head).collect()
        };
        assert!(told_of(&heads(&[1, 256, 1, 1])).unwrap().contains("LPIPS"));
        assert_eq!(told_of(&heads(&[2, 256, 1, 1])), None);
        let mesh =
            [("backbone2a.6.weight".into(), &[1404, 32, 3, 3][..]), ("backbone2b.4.weight".into(), &[1, 32, 3, 3])];
        assert!(told_of(&mesh).unwrap().contains("face mesh"));
        assert_eq!(told_of(&mesh[..1]), None);
        let decoder = |latents: &'static [usize]| {
            let names = ["1.weight", "3.conv.4.weight", "19.weight"].map(str::to_owned);
            told_of(&names.into_iter().zip([latents, &[64, 64, 3, 3], &[3, 64, 3, 3]]).collect::<Vec<_>>())
        };
        assert!(
            decoder(&[64, 32, 3, 3])
                .unwrap()
                .contains("decoder of an autoencoder like TAESD, for a latent space of 32")
        );
        assert!(decoder(&[64, 4, 3, 3]).unwrap().contains("decoder of TAESD"));
        assert_eq!(decoder(&[60, 4, 3, 3]), None);
    }
}
