//! Names of tensors without what training programs put around them.

use std::collections::BTreeMap;

/// Keys and prefixes under which training programs keep the weights, the most wanted first: averaged weights are what
/// authors publish.
pub(super) const WRAPPERS: [&str; 12] = [
    "params_ema",
    "params-ema",
    "params",
    "model_state_dict",
    "state_dict",
    "model_ema",
    "ema",
    "net_g",
    "netG",
    "generator",
    "model",
    "net",
];

/// Prefixes that mean nothing once every tensor has them. `model` and `net` may belong to the names of a network.
const PREFIXES: [&str; 5] = ["module.", "_orig_mod.", "netG.", "net_g.", "generator."];

/// Wrappers whose tensors stand for all where flat names have them in front.
const FLAT: [&str; 4] = ["params_ema.", "params-ema.", "params.", "state_dict."];

/// Takes off what stands before all names, and everything that stands beside the wrapped weights.
pub(super) fn unwrapped<T>(mut named: BTreeMap<String, T>) -> BTreeMap<String, T> {
    loop {
        let flat = FLAT.into_iter().find(|prefix| named.keys().any(|name| name.starts_with(prefix)));
        let all = |prefix: &&str| named.keys().all(|name| name.starts_with(*prefix));
        let Some(prefix) = flat.or_else(|| PREFIXES.into_iter().find(all)) else { return named };
        if named.is_empty() {
            return named;
        }
        named = named
            .into_iter()
            .filter_map(|(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value)))
            .collect();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(names: &[&str]) -> Vec<String> {
        unwrapped(names.iter().map(|name| (name.to_string(), ())).collect()).into_keys().collect()
    }

    #[test]
    fn prefixes_go_where_all_have_them() {
        assert_eq!(after(&["module.a.weight", "module.b"]), ["a.weight", "b"]);
        assert_eq!(after(&["module.a", "b"]), ["b", "module.a"]);
        assert_eq!(after(&["params.a", "params_ema.module.a", "params_ema.module.b"]), ["a", "b"]);
        assert_eq!(after(&["model.0.weight"]), ["model.0.weight"]);
        assert!(after(&[]).is_empty());
    }
}
