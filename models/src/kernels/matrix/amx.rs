//! AMX, the matrix unit of x86 processors.

use std::arch::asm;
use std::sync::OnceLock;
use std::time::Instant;

use half::bf16;

use super::{DEPTH, Pair, Product, ROWS};

/// f32 of a row, and lanes of a vector.
const LANES: usize = 16;

/// Whether the processor has the unit and the system lets this process use it. The system is asked once.
pub(in super::super) fn available() -> bool {
    static GRANTED: OnceLock<bool> = OnceLock::new();
    *GRANTED.get_or_init(|| has_unit() && is_granted())
}

/// Whether the processor has tiles, and products of bf16 in them.
fn has_unit() -> bool {
    use std::arch::x86_64::{__cpuid_count, __get_cpuid_max};
    const BF16: u32 = 1 << 22;
    const TILES: u32 = 1 << 24;
    let features = if __get_cpuid_max(0).0 >= 7 { __cpuid_count(7, 0).edx } else { 0 };
    features & BF16 != 0 && features & TILES != 0
}

/// Asks Linux for the tile registers: they make the state of a thread so much larger that nobody gets them unasked.
#[cfg(target_os = "linux")]
fn is_granted() -> bool {
    const ARCH_PRCTL: isize = 158;
    const REQUEST_PERMISSION: isize = 0x1023;
    const TILE_DATA: isize = 18;
    let result: isize;
    // SAFETY: a system call that touches no memory of ours; older systems answer with an error.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") ARCH_PRCTL => result,
            in("rdi") REQUEST_PERMISSION,
            in("rsi") TILE_DATA,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result == 0
}

#[cfg(not(target_os = "linux"))]
fn is_granted() -> bool {
    false
}

/// The shape of the tiles, as the instruction wants it.
#[repr(C, align(64))]
struct Shape {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    bytes: [u16; 16],
    rows: [u8; 16],
}

impl Shape {
    /// Sums in tiles 0 to 3, input in 4 and 5, weights in 6 and 7.
    fn new(rows: usize, part: usize) -> Self {
        // None is larger than 64.
        let (rows, pairs, line) = (rows as u8, (part / 2) as u8, 2 * part as u16);
        let mut shape = Self { palette: 1, start_row: 0, reserved: [0; 14], bytes: [0; 16], rows: [0; 16] };
        shape.bytes[..8].copy_from_slice(&[64, 64, 64, 64, line, line, 64, 64]);
        shape.rows[..8].copy_from_slice(&[rows, rows, rows, rows, rows, rows, pairs, pairs]);
        shape
    }
}

/// What the loops need besides the registers.
#[repr(C)]
struct Fixed {
    parts_end: *const usize,
    /// Minus the number of parts.
    first_part: isize,
    weights: *const bf16,
    /// Bytes of the weights of a part.
    hop: usize,
    /// Bytes from one row of the input to the next.
    step: usize,
    /// Bytes from one row of the weights, and of the sums, to the next.
    line: usize,
    /// Lines of the cache that come in during each part.
    lines: usize,
    pairs_end: *const Pair,
    /// Bytes from what the sums of one row start from to the next.
    apart: usize,
}

/// The loops over pairs and parts. With two vectors of channels, tiles 1, 3 and 7 hold the second one.
macro_rules! loops {
    ($fixed:ident, $shape:ident, $pairs:ident, $next:ident; $load:literal, $weights:literal, $first:literal, $second:literal, $store:literal) => {
        asm!(
            "ldtilecfg [{at}]",
            "mov {step}, [{fixed} + 32]",
            "mov {line}, [{fixed} + 40]",
            "mov {end}, [{fixed}]",
            "2:",
            "mov {a}, [{pairs} + 16]",
            "mov {b}, [{pairs} + 24]",
            "mov {spare}, [{fixed} + 64]",
            "tileloadd tmm0, [{a} + {spare}]",
            "tileloadd tmm2, [{b} + {spare}]",
            $load,
            "mov {a}, [{pairs}]",
            "mov {b}, [{pairs} + 8]",
            "mov {weights}, [{fixed} + 16]",
            "mov {part}, [{fixed} + 8]",
            "3:",
            "mov {at}, [{end} + 8 * {part}]",
            "tileloadd tmm6, [{weights} + {line}]",
            "lea {spare}, [{a} + {at}]",
            "tileloadd tmm4, [{spare} + {step}]",
            $weights,
            "lea {spare}, [{b} + {at}]",
            "tileloadd tmm5, [{spare} + {step}]",
            "tdpbf16ps tmm0, tmm4, tmm6",
            $first,
            "mov {spare}, [{fixed} + 48]",
            "test {spare}, {spare}",
            "jz 5f",
            "4:",
            "prefetcht1 [{next}]",
            "add {next}, 64",
            "dec {spare}",
            "jnz 4b",
            "5:",
            "tdpbf16ps tmm2, tmm5, tmm6",
            $second,
            "add {weights}, [{fixed} + 24]",
            "inc {part}",
            "jnz 3b",
            "mov {a}, [{pairs} + 32]",
            "mov {b}, [{pairs} + 40]",
            "tilestored [{a} + {line}], tmm0",
            "tilestored [{b} + {line}], tmm2",
            $store,
            "add {pairs}, 48",
            "cmp {pairs}, [{fixed} + 56]",
            "jne 2b",
            "tilerelease",
            fixed = in(reg) &raw const $fixed,
            at = inout(reg) &raw const $shape => _,
            pairs = inout(reg) $pairs => _,
            next = inout(reg) $next => _,
            step = out(reg) _, line = out(reg) _, end = out(reg) _, a = out(reg) _, b = out(reg) _,
            weights = out(reg) _, part = out(reg) _, spare = out(reg) _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// Adds the products up.
///
/// # Safety
/// As [`Product::run`]; neither list may be empty.
pub(super) unsafe fn multiply(product: &Product<'_>) {
    let line = product.vectors * LANES * size_of::<f32>();
    let hop = product.part / 2 * line;
    let (parts, pairs) = (product.parts.as_ptr_range(), product.pairs.as_ptr_range());
    let fixed = Fixed {
        parts_end: parts.end,
        first_part: -product.parts.len().cast_signed(),
        weights: product.weights,
        hop,
        step: product.step * size_of::<bf16>(),
        line,
        lines: if product.next.is_some() { hop.div_ceil(64 * product.pairs.len()) } else { 0 },
        pairs_end: pairs.end,
        apart: product.apart * size_of::<f32>(),
    };
    let (shape, pairs, next) =
        (Shape::new(product.rows, product.part), pairs.start, product.next.unwrap_or(std::ptr::null()));
    // SAFETY: the caller vouches for the unit and for all that is read and written; neither list is empty. The tiles are let go
    // at the end, so none of the state is left behind.
    unsafe {
        if product.vectors == 2 {
            loops!(fixed, shape, pairs, next;
                "tileloadd tmm1, [{a} + {spare} + 64]\ntileloadd tmm3, [{b} + {spare} + 64]",
                "tileloadd tmm7, [{weights} + {line} + 64]",
                "tdpbf16ps tmm1, tmm4, tmm7",
                "tdpbf16ps tmm3, tmm5, tmm7",
                "tilestored [{a} + {line} + 64], tmm1\ntilestored [{b} + {line} + 64], tmm3");
        } else {
            loops!(fixed, shape, pairs, next; "", "", "", "", "");
        }
    }
}

/// What one thread's unit can do at most: operations per second.
pub(in super::super) fn peak() -> f64 {
    const ROUNDS: usize = 20_000;
    /// Bytes of the tiles that are multiplied.
    const TILE: usize = ROWS * 64;
    let shape = Shape::new(ROWS, DEPTH);
    // Zeros would take less power than numbers do, and let the processor run faster than it can in earnest.
    let numbers: [bf16; TILE / 2] = std::array::from_fn(|i| bf16::from_f32((i * 37 % 101) as f32 / 50.0 - 1.0));
    let start = Instant::now();
    // SAFETY: only called where the unit is available; the tiles are loaded from as many numbers.
    unsafe {
        asm!(
            "ldtilecfg [{shape}]",
            "tileloadd tmm4, [{numbers} + {line}]",
            "tileloadd tmm5, [{numbers} + {line}]",
            "tileloadd tmm6, [{numbers} + {line}]",
            "tileloadd tmm7, [{numbers} + {line}]",
            "tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {rounds}",
            "jnz 2b",
            "tilerelease",
            shape = in(reg) &raw const shape,
            numbers = in(reg) numbers.as_ptr(),
            line = in(reg) 64usize,
            rounds = inout(reg) ROUNDS => _,
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        );
    }
    let products = 4 * ROUNDS * ROWS * LANES * DEPTH;
    2.0 * products as f64 / start.elapsed().as_secs_f64()
}
