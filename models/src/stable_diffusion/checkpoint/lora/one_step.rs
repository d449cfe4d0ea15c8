//! Adapters that restore a picture in one step: which kind a file holds, from what it calls its adapters.

use super::Scale;

/// What PEFT takes where training said nothing: the programs of both kinds leave alpha at 8, and files do not hold it.
pub(super) const SCALE: Scale = Scale { alpha: 8.0, root: false };

/// How an adapter for one step is meant to be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OneStepKind {
    /// The latent of the picture is taken for what is left of a good one at the last time, and denoised from there (OSEDiff, Wu et al.
    /// 2024, equation 3).
    Denoise,
    /// The output of the U-Net at time 1 is what is wrong with the latent (PiSA-SR, Sun et al. 2024, equation 4). There are two
    /// halves: one for the pixels, which takes damage away, and one for the meaning, which is trained on top of it and adds detail. What
    /// each of them says counts as much as is wanted (equation 5).
    Residual,
}

impl OneStepKind {
    /// Of the names of adapters.
    ///
    /// # Errors
    /// When there is one half of two.
    pub(super) fn of<'n>(names: impl Iterator<Item = &'n str> + Clone) -> Result<Option<Self>, String> {
        let any = |is: fn(&str) -> bool| names.clone().any(is);
        match (any(is_pixel), any(is_semantic)) {
            (true, true) => Ok(Some(Self::Residual)),
            (true, false) => {
                Err("it holds the half of an adapter for one step that is for pixels (`_pix`), and the other half \
                                  (`_sem`) is missing: take a file of a training that has ended"
                    .into())
            }
            (false, true) => {
                Err("it holds the half of an adapter for one step that is for meaning (`_sem`), and the half for \
                                  pixels (`_pix`) is missing"
                    .into())
            }
            (false, false) => Ok(any(is_plain).then_some(Self::Denoise)),
        }
    }
}

/// Where both kinds have adapters of their own.
const WHERE: [&str; 3] = ["default_encoder", "default_decoder", "default_others"];

fn is_plain(adapter: &str) -> bool {
    WHERE.contains(&adapter)
}

fn is_pixel(adapter: &str) -> bool {
    adapter.strip_suffix("_pix").is_some_and(is_plain)
}

/// Whether an adapter belongs to the half that adds meaning.
pub(super) fn is_semantic(adapter: &str) -> bool {
    adapter.strip_suffix("_sem").is_some_and(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_told_by_the_names_of_adapters() {
        let of = |names: &[&'static str]| OneStepKind::of(names.iter().copied());
        assert_eq!(of(&["default_encoder", "default_others"]), Ok(Some(OneStepKind::Denoise)));
        assert_eq!(of(&["default_encoder_pix", "default_decoder_sem"]), Ok(Some(OneStepKind::Residual)));
        assert_eq!(of(&["", "style_sem", "default"]), Ok(None));
        assert!(of(&["default_encoder_pix"]).unwrap_err().contains("`_sem`"));
        assert!(of(&["default_encoder_sem"]).unwrap_err().contains("`_pix`"));
    }
}
