//! Which form of a page the client wants (PEP 691 content negotiation, RFC 9110 section 12.5.1).

/// The forms a page can be served in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// PEP 691 JSON.
    Json,
    /// PEP 503 HTML under its PEP 691 name.
    Html,
    /// PEP 503 HTML for browsers and old installers.
    PlainHtml,
}

impl Form {
    /// The media type sent.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/vnd.pypi.simple.v1+json",
            Self::Html => "application/vnd.pypi.simple.v1+html",
            Self::PlainHtml => "text/html; charset=utf-8",
        }
    }

    /// The names it is asked for by.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Json => &["application/vnd.pypi.simple.v1+json", "application/vnd.pypi.simple.latest+json"],
            Self::Html => &["application/vnd.pypi.simple.v1+html", "application/vnd.pypi.simple.latest+html"],
            Self::PlainHtml => &["text/html"],
        }
    }
}

/// The best form for an `Accept` header, `None` if the client wants none of ours.
///
/// JSON is chosen only when it is asked for by name: what sends `*/*` is an old tool or a person, and gets HTML.
pub(super) fn choose(accept: Option<&str>) -> Option<Form> {
    let accept = accept.map_or("*/*", str::trim);
    let ranges: Vec<(String, u16)> = if accept.is_empty() {
        vec![("*/*".to_owned(), 1000)]
    } else {
        accept.split(',').filter_map(range).collect()
    };
    // On equal quality the first one wins.
    let mut best: Option<(Form, u16)> = None;
    for form in [Form::Json, Form::PlainHtml, Form::Html] {
        let quality = quality(form, &ranges);
        if quality > best.map_or(0, |(_, best)| best) {
            best = Some((form, quality));
        }
    }
    best.map(|(form, _)| form)
}

/// The quality of a form in thousandths; a more specific range beats a wider one.
fn quality(form: Form, ranges: &[(String, u16)]) -> u16 {
    let of =
        |wanted: &str| ranges.iter().filter(|(name, _)| name == wanted).map(|(_, quality)| *quality).max();
    let named = form.names().iter().filter_map(|name| of(name)).max();
    let wide = match form {
        Form::Json => None,
        Form::Html => of("application/*").or_else(|| of("*/*")),
        Form::PlainHtml => of("text/*").or_else(|| of("*/*")),
    };
    named.or(wide).unwrap_or(0)
}

/// One media range and its quality in thousandths. Parameters other than `q` are ignored.
fn range(item: &str) -> Option<(String, u16)> {
    let mut parts = item.split(';').map(str::trim);
    let name = parts.next().filter(|name| !name.is_empty())?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
    Some((name, quality.map_or(1000, thousandths)))
}

/// `0.75` is 750; what is not a number of that grammar counts as 0, so that it is never preferred.
fn thousandths(text: &str) -> u16 {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits: String = fraction.chars().chain("000".chars()).take(3).collect();
    match (whole, digits.parse::<u16>()) {
        ("0", Ok(parts)) => parts,
        ("1", Ok(_)) => 1000,
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_only_when_asked_for_by_name_and_by_quality() {
        let json = "application/vnd.pypi.simple.v1+json";
        let rows = [
            (
                "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01",
                Some(Form::Json),
            ),
            (
                "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html;q=0.2, text/html;q=0.01",
                Some(Form::Json),
            ),
            ("application/vnd.pypi.simple.latest+json", Some(Form::Json)),
            ("*/*", Some(Form::PlainHtml)),
            ("", Some(Form::PlainHtml)),
            ("text/html,application/xhtml+xml,*/*;q=0.8", Some(Form::PlainHtml)),
            ("application/vnd.pypi.simple.v1+html", Some(Form::Html)),
            ("application/vnd.pypi.simple.v1+json;q=0.1, text/html", Some(Form::PlainHtml)),
            ("application/vnd.pypi.simple.v1+json;q=0, */*", Some(Form::PlainHtml)),
            ("application/json", None),
            ("text/html;q=0", None),
            ("text/html;q=junk", None),
            (", ;q=1,", None),
        ];
        for (accept, expected) in rows {
            assert_eq!(choose(Some(accept)), expected, "{accept}");
        }
        assert_eq!(choose(None), Some(Form::PlainHtml));
        assert_eq!(choose(Some(json)), Some(Form::Json));
    }
}
