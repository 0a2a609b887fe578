//! The one place that reads environment variables, so that what the programs take from their surroundings can
//! be listed by looking for its callers.

/// The variable's value, if it is set to valid Unicode that is not empty.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// All variables whose name and value are valid Unicode.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "the one place")]
pub fn vars() -> Vec<(String, String)> {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .collect()
}
