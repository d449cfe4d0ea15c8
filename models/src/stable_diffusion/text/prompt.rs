//! Weights in prompts, as people write them for Stable Diffusion: `a (red:1.3) [small] ((old)) house`.
//!
//! | written | weight of what is inside |
//! |---|---|
//! | `(words)` | times 1.1 |
//! | `[words]` | divided by 1.1 |
//! | `(words:1.3)` | times 1.3 |
//! | `((words))` | times 1.1 times 1.1 |
//! | `\(`, `\)`, `\[`, `\]`, `\\` | the character itself |
//! | `BREAK` | begins a new chunk of 75 tokens |
//!
//! A bracket without its partner is an ordinary character, also where pairs cross; so is a colon without a number behind it.

/// A part of a prompt.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Words of one weight.
    Words(String, f32),
    /// The end of a chunk.
    Break,
}

/// What brackets without a number multiply by.
const ROUND: f32 = 1.1;
/// No weight is farther from 0.
const MOST: f32 = 100.0;
/// No number of a weight is longer.
const DIGITS: usize = 24;

/// An opening bracket that has a partner.
struct Pair {
    open: usize,
    /// Where the inside ends: at the partner, or at the colon of its number.
    inside_end: usize,
    /// Behind the partner.
    end: usize,
    factor: f32,
}

/// Takes a prompt apart. Neighbours have different weights.
pub(super) fn parse(prompt: &str) -> Vec<Part> {
    let mut pairs = pairs(prompt).into_iter().peekable();
    let (mut parts, mut words) = (vec![], String::new());
    // The pairs around the place: where their insides and they themselves end, and the weight in front of them.
    let mut around: Vec<(usize, usize, f32)> = vec![];
    let (mut weight, mut at) = (1.0f32, 0);
    while at < prompt.len() {
        if let Some((inside_end, end, before)) = around.last().copied()
            && at == inside_end
        {
            flush(&mut words, weight, &mut parts);
            (weight, at) = (before, end);
            around.pop();
            continue;
        }
        if let Some(pair) = pairs.next_if(|pair| pair.open == at) {
            flush(&mut words, weight, &mut parts);
            around.push((pair.inside_end, pair.end, weight));
            weight = (weight * pair.factor).clamp(-MOST, MOST);
            at += 1;
            continue;
        }
        at += escaped(&prompt[at..]).map_or(0, |_| 1);
        let character = prompt[at..].chars().next().unwrap_or_default();
        words.push(character);
        at += character.len_utf8();
    }
    flush(&mut words, weight, &mut parts);
    parts
}

/// The character that a backslash in front of it makes ordinary.
fn escaped(text: &str) -> Option<char> {
    text.strip_prefix('\\')?.chars().next().filter(|character| "()[]\\".contains(*character))
}

/// Finds the brackets that have a partner, in the order of their opening.
fn pairs(prompt: &str) -> Vec<Pair> {
    let mut found: Vec<Pair> = vec![];
    let mut open: Vec<(usize, char)> = vec![];
    let mut waiting = [0usize; 2];
    let kind = |bracket: char| usize::from(bracket == '[');
    let mut characters = prompt.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' if escaped(&prompt[at..]).is_some() => _ = characters.next(),
            '(' | '[' => {
                open.push((at, character));
                waiting[kind(character)] += 1;
            }
            ')' | ']' => {
                let partner = if character == ')' { '(' } else { '[' };
                if waiting[kind(partner)] == 0 {
                    continue;
                }
                // What was opened in between has no partner.
                while let Some((begin, bracket)) = open.pop() {
                    waiting[kind(bracket)] -= 1;
                    if bracket == partner {
                        let number = if partner == '(' { number(&prompt[begin + 1..at]) } else { None };
                        let (inside_end, factor) = match number {
                            Some((colon, factor)) => (begin + 1 + colon, factor),
                            None => (at, if partner == '(' { ROUND } else { 1.0 / ROUND }),
                        };
                        found.push(Pair { open: begin, inside_end, end: at + 1, factor });
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    found.sort_by_key(|pair| pair.open);
    found
}

/// The number at the end of the inside of a bracket, and where its colon is.
fn number(inside: &str) -> Option<(usize, f32)> {
    let digits = |character: char| character.is_ascii_digit() || "+-. ".contains(character);
    let tail = inside.trim_end_matches(digits);
    let colon = tail.strip_suffix(':')?.len();
    let number = inside[colon + 1..].trim();
    if number.len() > DIGITS {
        return None;
    }
    number.parse().ok().map(|factor: f32| (colon, factor))
}

/// Appends words to the parts, cut where they say `BREAK`.
fn flush(words: &mut String, weight: f32, parts: &mut Vec<Part>) {
    let words = std::mem::take(words);
    for (i, piece) in breaks(&words).into_iter().enumerate() {
        if i > 0 {
            parts.push(Part::Break);
        }
        match parts.last_mut() {
            _ if piece.is_empty() => {}
            Some(Part::Words(last, of)) if *of == weight => last.push_str(piece),
            _ => parts.push(Part::Words(piece.into(), weight)),
        }
    }
}

/// The text between the words `BREAK`.
fn breaks(text: &str) -> Vec<&str> {
    let joins = |character: char| character.is_alphanumeric() || character == '_';
    let (mut pieces, mut begin) = (vec![], 0);
    for (at, word) in text.match_indices("BREAK") {
        let behind = at + word.len();
        if !text[..at].ends_with(joins) && !text[behind..].starts_with(joins) {
            pieces.push(text[begin..at].trim_end());
            begin = behind;
        }
    }
    pieces.push(&text[begin..]);
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(parts: &[(&str, f32)]) -> Vec<Part> {
        parts.iter().map(|(words, weight)| Part::Words((*words).into(), *weight)).collect()
    }

    fn check(prompt: &str, wanted: &[(&str, f32)]) {
        let found = parse(prompt);
        assert_eq!(found.len(), wanted.len(), "{prompt}: {found:?}");
        for (found, wanted) in found.iter().zip(words(wanted)) {
            let (Part::Words(found, weight), Part::Words(wanted, of)) = (found, &wanted) else { panic!("{prompt}") };
            assert!(found == wanted && (weight - of).abs() < 1e-6, "{prompt}: {found} {weight}, not {wanted} {of}");
        }
    }

    #[test]
    fn brackets_are_weights() {
        check("", &[]);
        check("a cat", &[("a cat", 1.0)]);
        check("a (cat) sat", &[("a ", 1.0), ("cat", 1.1), (" sat", 1.0)]);
        check("[dull] (red:1.35)(dim : 0.5 )", &[("dull", 1.0 / 1.1), (" ", 1.0), ("red", 1.35), ("dim ", 0.5)]);
        check("((a) b:2) c", &[("a", 2.2), (" b", 2.0), (" c", 1.0)]);
        check("(a [b] (c:0)) d", &[("a ", 1.1), ("b", 1.0), (" ", 1.1), ("c", 0.0), (" d", 1.0)]);
        check("(away:-1)(half:.5)(more:+2.)", &[("away", -1.0), ("half", 0.5), ("more", 2.0)]);
        check("(日本:1.2)語", &[("日本", 1.2), ("語", 1.0)]);
    }

    #[test]
    fn what_means_nothing_is_literal() {
        check(r"smile \(:1.2\) \[x\] \\ \n", &[(r"smile (:1.2) [x] \ \n", 1.0)]);
        check("a ) b ] c ( d [ e", &[("a ) b ] c ( d [ e", 1.0)]);
        check("(a [b) c]", &[("a [b", 1.1), (" c]", 1.0)]);
        check("((a)", &[("(", 1.0), ("a", 1.1)]);
        check("(a:b) [c:1.2] d:1.3", &[("a:b", 1.1), (" ", 1.0), ("c:1.2", 1.0 / 1.1), (" d:1.3", 1.0)]);
        check("(a:1.2.3)(b:)", &[("a:1.2.3b:", 1.1)]);
        check("()[](:2)", &[]);
        check("(a\\", &[("(a\\", 1.0)]);
        check(r"(a\)", &[("(a)", 1.0)]);
    }

    #[test]
    fn weights_stay_numbers() {
        check("(((a:90):90):-90)", &[("a", -100.0)]);
        check(&format!("(a:{})", "9".repeat(24)), &[("a", 100.0)]);
        let deep = 20_000;
        check(&format!("{}a{}", "(".repeat(deep), ")".repeat(deep)), &[("a", 100.0)]);
        let crossed = format!("{}{}", "([".repeat(deep), ")]".repeat(deep));
        assert!(parse(&crossed).len() < 2 * deep);
    }

    #[test]
    fn breaks_are_words() {
        let wanted = [words(&[("a", 1.0)]), vec![Part::Break], words(&[(" b BREAKS _BREAK", 1.0)])].concat();
        assert_eq!(parse("a BREAK b BREAKS _BREAK"), wanted);
        assert_eq!(parse("BREAK"), [Part::Break]);
        assert_eq!(parse("(BREAK:1.3)BREAK"), [Part::Break, Part::Break]);
        assert_eq!(parse("xBREAK"), words(&[("xBREAK", 1.0)]));
    }
}
