//! Files that lie about themselves: cut off, changed, or made to need more memory or time than they are long.

use super::gadgets::zipped;
use super::*;

/// A pickle of one tensor `w` with these arguments behind its storage of four numbers: offset, shape and strides.
fn tensor(offset: i32, shape: &[i32], strides: &[i32]) -> Vec<u8> {
    let number = |value: &i32| [b"J", &value.to_le_bytes()[..]].concat();
    let row = |values: &[i32]| [b"(".to_vec(), values.iter().flat_map(number).collect(), b"t".to_vec()].concat();
    let pickle = [
        &b"\x80\x02}X\x01\0\0\0wctorch._utils\n_rebuild_tensor_v2\n("[..],
        b"(X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x04tQ",
        &number(&offset),
        &row(shape),
        &row(strides),
        b"\x89}tRs.",
    ];
    pickle.concat()
}

fn with_values(pickle: &[u8], values: &[f32]) -> Vec<u8> {
    let values: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    zipped(&[("a/data.pkl", pickle), ("a/data/0", &values)])
}

#[test]
fn tensors_stay_in_their_values() {
    let four = [1.0, 2.0, 3.0, 4.0];
    let read = |pickle: &[u8]| {
        let file = with_values(pickle, &four);
        let tensors = Tensors::read("model", &file, None).map_err(|error| error.to_string())?;
        Ok::<_, String>(tensors.get("w").unwrap().values().unwrap())
    };
    assert_eq!(read(&tensor(0, &[2, 2], &[2, 1])).unwrap(), four);
    assert_eq!(read(&tensor(0, &[2, 2], &[1, 2])).unwrap(), [1.0, 3.0, 2.0, 4.0]);
    assert_eq!(read(&tensor(2, &[2], &[1])).unwrap(), [3.0, 4.0]);
    assert_eq!(read(&tensor(3, &[2, 2], &[0, 0])).unwrap(), [4.0; 4]);
    assert_eq!(read(&tensor(0, &[], &[])).unwrap(), [1.0]);
    assert!(read(&tensor(9, &[0, 5], &[5, 1])).unwrap().is_empty());
    for (offset, shape, strides) in [
        (1, &[2, 2][..], &[2, 1][..]),
        (0, &[5], &[1]),
        (4, &[1], &[1]),
        (-1, &[1], &[1]),
        (0, &[-1], &[1]),
        (0, &[2], &[-1]),
        (0, &[2, 2], &[i32::MAX, i32::MAX]),
        (0, &[i32::MAX, i32::MAX, i32::MAX], &[0, 0, 0]),
        (0, &[1 << 20, 1 << 10], &[0, 0]),
        (0, &[2, 2], &[1]),
        (0, &[1; 9], &[1; 9]),
    ] {
        assert!(read(&tensor(offset, shape, strides)).is_err(), "{offset} {shape:?} {strides:?}");
    }
    assert!(message(&with_values(&tensor(0, &[4], &[1]), &four[..3])).contains("cut off"));
    assert!(message(&zipped(&[("a/data.pkl", &tensor(0, &[4], &[1]))])).contains("are missing"));
}

#[test]
fn depth_circles_and_claims_cost_nothing() {
    let wrap = |pickle: &[u8]| message(&zipped(&[("a/data.pkl", pickle)]));
    // A million tuples in each other, and dictionaries likewise.
    assert!(wrap(&[&b"\x80\x02)"[..], &[0x85; 1_000_000], b"."].concat()).contains("no dictionary"));
    let deep: Vec<u8> =
        [b"\x80\x02".to_vec(), b"}K\x01".repeat(100_000), b"N".to_vec(), b"s".repeat(100_000), b".".to_vec()].concat();
    assert!(wrap(&deep).contains("no tensors"));
    // A dictionary that holds itself, also under the name of a wrapper.
    assert!(wrap(b"\x80\x02}q\x00X\x06\0\0\0paramsh\0s.").contains("no tensors"));
    // Thirty dictionaries, each of which holds the next a hundred times: 10^60 ways through them.
    let mut wide = b"\x80\x02}q\0".to_vec();
    for i in 0..30u8 {
        wide.extend([&b"0}q"[..], &[i + 1], b"("].concat());
        (0..100).for_each(|_| wide.extend([b"X\x01\0\0\0ah", &[i][..]].concat()));
        wide.extend(b"u");
    }
    wide.push(b'.');
    assert!(wrap(&wide).contains("no tensors"));
    // More values than the limit, by two bytes each.
    assert!(wrap(&[&b"\x80\x02("[..], &b"NN".repeat(2_100_000), b"t."].concat()).contains("more than 4000000 values"));
    // Lengths beyond the file.
    for head in
        [&b"X\xff\xff\xff\xff"[..], b"\x8d\xff\xff\xff\xff\xff\xff\xff\xff", b"\x8b\xff\xff\xff\xff", b"U\xff", b"c"]
    {
        assert!(wrap(&[b"\x80\x02", head].concat()).contains("cut off"), "{head:?}");
    }
    // A place of the memo that nobody made, and values that are not there.
    for (body, part) in [
        (&b"j\xff\xff\xff\xff."[..], "not made"),
        (b".", "not there"),
        (b"R.", "not there"),
        (b"(u.", "not there"),
        (b"t.", "not there"),
        (b"\x87.", "not there"),
    ] {
        assert!(
            wrap(&[b"\x80\x02", body].concat()).contains(part),
            "{body:?}: {}",
            wrap(&[b"\x80\x02", body].concat())
        );
    }
    // Arguments by the million for many calls.
    let long = [&b"\x80\x02("[..], &b"N".repeat(100_000), b"tq\x00ctorch\ndevice\nh\x00R."].concat();
    assert!(wrap(&long).contains("make no sense"));
}

#[test]
fn changed_files_are_read_or_refused() {
    let files = [(SAFETENSORS, None), (ZIP, None), (LEGACY, None), (PARAM, Some(BIN)), (ONNX, None)];
    for (file, beside) in files {
        for len in 0..file.len() {
            _ = Tensors::read("model", &file[..len], beside);
        }
        // Every byte in four ways.
        let mut changed = file.to_vec();
        for at in 0..file.len() {
            for bits in [0xff, 0x01, 0x80, 0x2e] {
                changed[at] ^= bits;
                _ = Tensors::read("model", &changed, beside);
                changed[at] = file[at];
            }
        }
        assert!(Tensors::read("model", &changed, beside).is_ok());
    }
}

#[test]
fn entries_may_not_share_their_bytes() {
    let data = [7u8; 1000];
    let many: Vec<(String, &[u8])> = (0..50).map(|i| (format!("a/data/{i}"), &data[..])).collect();
    let many: Vec<(&str, &[u8])> = many.iter().map(|(name, data)| (name.as_str(), *data)).collect();
    let file = zipped(&many);
    let mut shared = file.clone();
    let lines: Vec<usize> = (0..file.len() - 4).filter(|&at| file[at..].starts_with(b"PK\x01\x02")).collect();
    let last = u32::from_le_bytes(file[lines[49] + 42..][..4].try_into().unwrap());
    // All entries at the place of the last, and the rest of the file left out.
    for line in &lines {
        shared[line + 42..line + 46].copy_from_slice(&0u32.to_le_bytes());
    }
    let mut short = shared[last as usize..].to_vec();
    let end = short.len() - 6;
    let start = (lines[0] as u32 - last).to_le_bytes();
    short[end..end + 4].copy_from_slice(&start);
    assert!(message(&short).contains("lie over each other"), "{}", message(&short));
}
