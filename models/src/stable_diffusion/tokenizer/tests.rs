use std::time::{Duration, Instant};

use super::*;

/// `UPWEAVE_GOLDENS` names another folder than that of the repository; `tests/parity/tokenizer.py` writes the file.
#[test]
fn ids_equal_transformers() {
    let file = crate::testing::golden!("tokenizer.json");
    let prompts: Vec<(String, Vec<u32>)> = serde_json::from_slice(&file).unwrap();
    assert!(prompts.len() >= 1000);
    let wrong: Vec<_> = prompts.iter().filter(|(prompt, ids)| tokenize(prompt) != *ids).collect();
    let shown: Vec<_> = wrong.iter().take(5).map(|(prompt, ids)| (prompt, ids, tokenize(prompt))).collect();
    assert!(wrong.is_empty(), "{} prompts have other ids: {shown:?}", wrong.len());
}

#[test]
fn known_tokens() {
    assert_eq!(tokenize("hello world"), [3306, 1002]);
    assert_eq!(tokenize("a<|endoftext|>b"), [320, END, 321]);
    assert_eq!(tokenize(","), [267]);
    assert!(tokenize(" \n\t").is_empty());
}

#[test]
fn long_texts_take_no_long_time() {
    let begin = Instant::now();
    for word in ["a", "ab", "<|endoftext|>", "<|", "a\u{301}", "\u{301}", "🔥", "dog, "] {
        let text = word.repeat((1 << 20) / word.len());
        assert!(!tokenize(&text).is_empty());
    }
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
}
