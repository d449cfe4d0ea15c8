//! Scaled dot-product attention that never builds the whole matrix of scores.
//!
//! Queries lie in the lanes of vectors: a register tile is a few keys (or channels) times two vectors of queries. So the
//! softmax needs nothing across lanes, no head size wastes lanes, and both products are the same loop: rows of a packed map
//! are broadcast, the vectors are queries or probabilities. Keys go by in blocks; the largest score so far, the sum of the
//! probabilities and the weighted sum of the values are kept per query and rescaled when a larger score appears (Milakov and
//! Gimelshein 2018, "Online normalizer calculation for softmax"; Dao et al. 2022, "FlashAttention").
//!
//! Where the processor has a unit for products of matrices, the rows of its tiles are keys (or channels), and the rest is the same.
//!
//! What is computed for a query does not depend on its neighbours, the number of threads, or, in f32 and among sets with a
//! fused multiply-add, the width of the vectors.

mod pack;
mod tile;

use rayon::prelude::*;

use super::shared::Shared;
use super::tokens::check_output;
use super::{Element, Isa, Place, Tokens};
use pack::Packed;
use tile::{Job, VECTORS, tile_rows};

/// Bytes of the queries and sums of a job's block of queries that stay in the second-level cache.
const BLOCK: usize = 256 << 10;

/// Most query tiles of a job: they share the keys and values that they read.
const TILES: usize = 4;

/// `softmax(scale * q k^T) v` for each head (Vaswani et al. 2017), whose channels lie from `head * head_size` on, from the tokens `q`, `k` and `v` into the pixels of `place`, of which there are as
/// many as queries. Where `causal`, query i sees the keys 0 to i only. Scores, softmax and sums are f32; where
/// bf16 is multiplied as such, the probabilities are rounded before they meet the values. In parallel over heads and queries. Takes copies of keys and
/// values, and per thread some blocks.
///
/// # Panics
/// When a map does not lie within its slice, output pixels would overlap, there is no key, the numbers of keys and values or
/// of queries and output pixels differ, the scale is not a positive number, or the processor lacks the instruction set.
#[allow(clippy::too_many_arguments)]
pub fn attention<E: Element>(
    isa: Isa,
    q: Tokens<'_, E>,
    k: Tokens<'_, E>,
    v: Tokens<'_, E>,
    heads: usize,
    head_size: usize,
    scale: f32,
    causal: bool,
    out: &mut [E],
    place: Place,
) {
    let (queries, keys, channels) = (q.count(), k.count(), heads * head_size);
    assert_eq!(queries, place.width * place.height, "an output pixel for each query");
    if queries == 0 || channels == 0 {
        return;
    }
    assert!(keys > 0 && keys == v.count(), "a value for each key, and at least one");
    assert!(scale > 0.0 && scale.is_finite(), "the scale is a positive number");
    check_output(place, channels, out.len());
    for (tokens, name) in [(&q, "queries"), (&k, "keys"), (&v, "values")] {
        tokens.check(channels, name);
    }

    let (q, all, out) = (&q, 0..queries, Shared::new(out));
    if isa.widens::<E>() {
        let packed = &Packed::<f32>::new(&k, &v, heads, head_size, tile_rows::<f32>(isa), false);
        share_out(isa, heads, &Job { q, packed, head: 0, queries: all, scale, causal, out, place });
    } else {
        let packed = &Packed::<E>::new(&k, &v, heads, head_size, tile_rows::<E>(isa), isa.has_tiles::<E>());
        share_out(isa, heads, &Job { q, packed, head: 0, queries: all, scale, causal, out, place });
    }
}

/// Shares the queries of a job out to the threads, for each head.
fn share_out<E: Element, W: Element>(isa: Isa, heads: usize, whole: &Job<'_, E, W>) {
    let (queries, head_size) = (whole.queries.end, whole.packed.head_size);
    let lanes = VECTORS * isa.lanes();
    let per_tile = 2 * lanes * head_size.max(1) * size_of::<f32>();
    let all = queries.div_ceil(lanes);
    // Enough jobs to share out evenly.
    let even = (heads * all).div_ceil(rayon::current_num_threads() * 4);
    let tiles = even.clamp(1, TILES).min((BLOCK / per_tile).max(1));
    let blocks = all.div_ceil(tiles);
    (0..heads * blocks).into_par_iter().for_each(|job| {
        // Later queries of a causal mask have more to do: they go first.
        let (head, block) = (job % heads, blocks - 1 - job / heads);
        let first = block * tiles * lanes;
        let queries = first..(first + tiles * lanes).min(queries);
        isa.run(Job { head, queries, ..*whole });
    });
}

#[cfg(test)]
mod tests;
