//! A first look over a graph file, at the speed of reading it: is any list in it longer than all lists may be?
//!
//! Taking a file apart visits every byte once per level. That is nothing for graphs that people write, and half a second
//! for a list of a million names.

use super::MOST_NODES;

/// Where the first list ends that has more entries than a graph may have nodes; told by its commas, so that one with just
/// one too many may pass here and is found later.
pub(super) fn too_long(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    // The commas so far in every list that is open.
    let mut commas = vec![0usize];
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        at += match byte {
            b'"' => string(&bytes[at..]),
            b'r' if !bytes[..at].last().is_some_and(|&before| named(before)) => raw_string(&bytes[at..]),
            b'\'' => character(&bytes[at..]),
            b'/' => comment(&bytes[at..]),
            b'(' | b'[' | b'{' => {
                commas.push(0);
                1
            }
            b')' | b']' | b'}' => {
                commas.pop();
                1
            }
            b',' => {
                // More ends than beginnings are for the parser to report.
                let count = commas.last_mut()?;
                *count += 1;
                if *count > MOST_NODES {
                    return Some(at);
                }
                1
            }
            _ => 1,
        };
    }
    None
}

/// Whether a byte may stand within a name.
fn named(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || !byte.is_ascii()
}

/// Length of the string that a text begins with; an open one goes on to the end.
fn string(text: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = text.get(at) {
        at += match byte {
            b'\\' => 2,
            b'"' => return at + 1,
            _ => 1,
        };
    }
    text.len()
}

/// Length of a string like `r#"..."#`; 1 when it is none.
fn raw_string(text: &[u8]) -> usize {
    let hashes = text[1..].iter().take_while(|&&byte| byte == b'#').count();
    let start = hashes + 2;
    if text.get(start - 1) != Some(&b'"') {
        return 1;
    }
    let end = [&b"\""[..], &b"#".repeat(hashes)].concat();
    let length = text[start..].windows(end.len()).position(|part| part == end);
    length.map_or(text.len(), |length| start + length + end.len())
}

/// Length of a character in quotes; 1 when it is none.
fn character(text: &[u8]) -> usize {
    let start = if text.get(1) == Some(&b'\\') { 3 } else { 2 };
    // The longest is `'\u{10FFFF}'`.
    let rest = text.get(start..text.len().min(13)).unwrap_or_default();
    rest.iter().position(|&byte| byte == b'\'').map_or(1, |end| start + end + 1)
}

/// Length of the comment that a text begins with; 1 when it begins with none.
fn comment(text: &[u8]) -> usize {
    match text.get(1) {
        Some(b'/') => text.iter().position(|&byte| byte == b'\n').unwrap_or(text.len()),
        Some(b'*') => {
            let (mut depth, mut at) = (1, 2);
            while depth > 0 && at < text.len() {
                match text[at..] {
                    [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
                    [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
                    _ => at += 1,
                }
            }
            at
        }
        _ => 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_commas_between_entries_count() {
        let many = ",".repeat(MOST_NODES + 1);
        for harmless in [
            format!("(\"{many}\")"),
            format!("(\"\\\"{many}\")"),
            format!("(r#\"\"{many}\"#)"),
            format!("(r\"{many}\\\")"),
            format!("/* /* */ {many} */ ()"),
            format!("// {many}\n()"),
            format!("[{}]", "'a', ".repeat(MOST_NODES)),
            format!("[{}]", "[1, 2], ".repeat(MOST_NODES)),
            format!("[{}]", "','".repeat(MOST_NODES + 1)),
            format!("[{}]", "'\\'',".repeat(MOST_NODES)),
        ] {
            assert_eq!(too_long(&harmless), None, "{}", &harmless[..20]);
        }
        let list = |entry: &str| too_long(&format!("(a: [{}])", entry.repeat(MOST_NODES + 1)));
        assert_eq!(list("1,"), Some(5 + 2 * MOST_NODES + 1));
        for entry in ["\"a\",", "r\"b\\\",", "'\"',", "'\\'',", "for,", "(1, 2),", "/* \" */ 1,"] {
            assert!(list(entry).is_some(), "{entry}");
        }
        for open in ["\"", "r#\"", "'", "/*", "(", ")", "))),", "r", "r#", "'\\", "/"] {
            assert_eq!(too_long(open), None, "{open}");
        }
    }
}
