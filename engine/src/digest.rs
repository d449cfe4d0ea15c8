//! Digests: what the cache compares instead of contents.

use crate::value::{Rect, Size};
use std::{borrow::Cow, sync::OnceLock};

/// A blake3 digest.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl std::fmt::Display for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0[..6].iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Feeds values to a digest in a form that cannot be confused: numbers in little-endian bit patterns, everything of
/// variable length behind its length.
pub struct Digester(blake3::Hasher);

/// The bit patterns of samples, lowest byte first.
pub(crate) fn little_endian(samples: &[f32]) -> Cow<'_, [u8]> {
    if cfg!(target_endian = "little") {
        return bytemuck::cast_slice(samples).into();
    }
    samples.iter().flat_map(|sample| sample.to_le_bytes()).collect()
}

impl Digester {
    /// Starts a digest of a kind of thing. Different domains never give equal digests.
    pub fn new(domain: &str) -> Self {
        let mut this = Self(blake3::Hasher::new());
        this.text(domain);
        this
    }

    /// The digest of samples alone.
    pub fn of_samples(samples: &[f32]) -> Digest {
        let mut this = Self::new("samples");
        this.samples(samples);
        this.finish()
    }

    /// Adds raw bytes behind their length.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.update_rayon(bytes);
    }

    /// Adds a text.
    pub fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    /// Adds a whole number.
    pub fn u64(&mut self, value: u64) {
        self.0.update(&value.to_le_bytes());
    }

    /// Adds a number by its bit pattern; both zeros count as one.
    pub fn f64(&mut self, value: f64) {
        self.u64((value + 0.0).to_bits());
    }

    /// Adds another digest.
    pub fn digest(&mut self, digest: Digest) {
        self.0.update(&digest.0);
    }

    /// Adds a size.
    pub fn size(&mut self, size: Size) {
        self.u64(u64::from(size.width));
        self.u64(u64::from(size.height));
    }

    /// Adds a rectangle.
    pub fn rect(&mut self, rect: Rect) {
        self.u64(u64::from(rect.x));
        self.u64(u64::from(rect.y));
        self.size(rect.size());
    }

    /// Adds samples by their bit patterns.
    pub fn samples(&mut self, samples: &[f32]) {
        self.u64(samples.len() as u64);
        for chunk in samples.chunks(1 << 20) {
            self.0.update_rayon(&little_endian(chunk));
        }
    }

    /// Adds a parameter tree: maps in the order of their sorted keys, numbers by bit pattern.
    pub fn json(&mut self, value: &serde_json::Value) {
        use serde_json::Value as Json;
        match value {
            Json::Null => self.u64(0),
            Json::Bool(flag) => self.u64(1 + u64::from(*flag)),
            Json::Number(number) => {
                self.u64(3);
                match (number.as_u64(), number.as_i64()) {
                    (Some(whole), _) => self.u64(whole),
                    (None, Some(negative)) => self.u64(negative as u64),
                    (None, None) => self.f64(number.as_f64().unwrap_or(f64::NAN)),
                }
            }
            Json::String(text) => {
                self.u64(4);
                self.text(text);
            }
            Json::Array(items) => {
                self.u64(5);
                self.u64(items.len() as u64);
                items.iter().for_each(|item| self.json(item));
            }
            Json::Object(fields) => {
                self.u64(6);
                self.u64(fields.len() as u64);
                let mut keys: Vec<_> = fields.keys().collect();
                keys.sort();
                for key in keys {
                    self.text(key);
                    self.json(&fields[key]);
                }
            }
        }
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(*self.0.finalize().as_bytes())
    }
}

/// The digest of something that does not change, told at the second time without computing it again.
///
/// Nobody waits for another who computes it: the threads of the pool share the work of one digest, and whoever waits for its part
/// takes up other work of the pool meanwhile, which may ask for the same digest.
#[derive(Clone, Debug, Default)]
pub(crate) struct Once(OnceLock<Digest>);

impl Once {
    /// The digest; `compute` may run more than once when several ask at the same time.
    pub(crate) fn get(&self, compute: impl FnOnce() -> Digest) -> Digest {
        self.0.get().copied().unwrap_or_else(|| {
            let digest = compute();
            *self.0.get_or_init(|| digest)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{sync::mpsc, thread, time::Duration};

    #[test]
    fn many_who_ask_for_one_digest_do_not_wait_for_each_other() {
        let (tell, told) = mpsc::channel();
        thread::spawn(move || {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
            for round in 0..50 {
                let (samples, once) = (vec![round as f32; 1 << 20], Once::default());
                let ask = || once.get(|| Digester::of_samples(&samples));
                let wanted = Digester::of_samples(&samples);
                pool.scope(|scope| (0..16).for_each(|_| scope.spawn(|_| assert_eq!(ask(), wanted))));
            }
            tell.send(()).ok();
        });
        told.recv_timeout(Duration::from_secs(120)).expect("nobody waits for ever");
    }
}
