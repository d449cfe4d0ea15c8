//! A font of 3x5 dots, drawn for this project.

/// The five rows of a letter, the left dot in the highest of three bits. Small letters are shown as capitals, and what
/// the font does not have as a block.
pub(crate) fn glyph(letter: char) -> [u8; 5] {
    let rows = match letter.to_ascii_uppercase() {
        ' ' => "00000",
        'A' => "25755",
        'B' => "65656",
        'C' => "34443",
        'D' => "65556",
        'E' => "74647",
        'F' => "74644",
        'G' => "34553",
        'H' => "55755",
        'I' => "72227",
        'J' => "11152",
        'K' => "55655",
        'L' => "44447",
        'M' => "57755",
        'N' => "65555",
        'O' => "25552",
        'P' => "65644",
        'Q' => "25573",
        'R' => "65655",
        'S' => "34216",
        'T' => "72222",
        'U' => "55557",
        'V' => "55552",
        'W' => "55775",
        'X' => "55255",
        'Y' => "55222",
        'Z' => "71247",
        '0' => "75557",
        '1' => "26227",
        '2' => "71747",
        '3' => "71717",
        '4' => "55711",
        '5' => "74717",
        '6' => "74757",
        '7' => "71222",
        '8' => "75757",
        '9' => "75717",
        '.' => "00002",
        ',' => "00024",
        ':' => "02020",
        ';' => "02024",
        '!' => "22202",
        '?' => "71202",
        '\'' => "22000",
        '"' => "55000",
        '-' => "00700",
        '+' => "02720",
        '=' => "07070",
        '*' => "52725",
        '/' => "11244",
        '\\' => "44211",
        '%' => "51245",
        '(' => "12221",
        ')' => "42224",
        '[' => "32223",
        ']' => "62226",
        '<' => "12421",
        '>' => "42124",
        '_' => "00007",
        '#' => "57575",
        '|' => "22222",
        _ => "77777",
    };
    let mut out = [0; 5];
    out.iter_mut().zip(rows.bytes()).for_each(|(row, digit)| *row = digit - b'0');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_printable_letter_has_its_own_shape() {
        let letters: Vec<char> = ('0'..='9').chain('A'..='Z').chain(" .,:;!?'\"-+=*/\\%()[]<>_#|".chars()).collect();
        for (i, &a) in letters.iter().enumerate() {
            assert!(glyph(a).iter().all(|&row| row < 8) && glyph(a) != [7; 5], "{a}");
            assert!(letters[..i].iter().all(|&b| glyph(a) != glyph(b)), "{a} looks like another letter");
        }
        assert_eq!(glyph('a'), glyph('A'));
    }
}
