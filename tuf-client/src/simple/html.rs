//! Pages in HTML (PEP 503 with the attributes of PEP 592, 629, 658, 714 and 792).
//!
//! Every anchor whose address ends in a name is a file. The name is taken from the address, as installers do, not
//! from the anchor's text.

use html5gum::{DefaultEmitter, HtmlString, StartTag, Token, Tokenizer};

use super::error::PageError;
use super::name::ProjectName;
use super::page::{
    CoreMetadata, MAX_FILES, MAX_TEXT_BYTES, Page, PageFile, Yanked, at_most, check_api_version,
};
use super::sha256::Sha256;

pub(super) fn parse(body: &[u8], project: &ProjectName) -> Result<Page, PageError> {
    let mut page = Page::empty(project.clone());
    let mut emitter = DefaultEmitter::default();
    // So that an anchor inside of a script, style or title is text, as in a browser.
    emitter.naively_switch_states(true);
    for token in Tokenizer::new_with_emitter(body, emitter) {
        let Ok(token) = token;
        match token {
            Token::StartTag(tag) => match tag.name.0.as_slice() {
                b"a" => {
                    if let Some(file) = anchor(&tag, page.files.len())? {
                        page.files.push(file);
                        at_most("files", page.files.len(), MAX_FILES)?;
                    }
                }
                b"base" if page.base.is_none() => page.base = attribute(&tag, "href")?,
                b"meta" => meta(&tag, &mut page)?,
                _ => {}
            },
            // PyPI's `<!--SERIAL 123-->`.
            Token::Comment(comment) => {
                let serial = text(&comment)
                    .trim()
                    .strip_prefix("SERIAL ")
                    .and_then(|digits| digits.trim().parse().ok());
                page.last_serial = serial.or(page.last_serial);
            }
            _ => {}
        }
    }
    Ok(page)
}

fn meta(tag: &StartTag<()>, page: &mut Page) -> Result<(), PageError> {
    let (Some(name), Some(content)) = (attribute(tag, "name")?, attribute(tag, "content")?) else {
        return Ok(());
    };
    match name.as_str() {
        "pypi:repository-version" => check_api_version(&content)?,
        "pypi:project-status" => page.status = Some(content),
        "pypi:project-status-reason" => page.status_reason = Some(content),
        _ => {}
    }
    Ok(())
}

fn anchor(tag: &StartTag<()>, index: usize) -> Result<Option<PageFile>, PageError> {
    let Some(href) = attribute(tag, "href")? else {
        return Ok(None);
    };
    let href = href.trim_ascii();
    let (url, fragment) = href.split_once('#').unwrap_or((href, ""));
    let path = url.split('?').next().unwrap_or(url);
    let file_name = percent_decode(path.rsplit('/').next().unwrap_or(path));
    if file_name.is_empty() || file_name == "." || file_name == ".." {
        return Ok(None);
    }
    let mut file = PageFile::new(file_name, url);
    let digest = fragment.split('&').find_map(|part| part.strip_prefix("sha256="));
    file.sha256 = digest.map(|text| parse_digest(text, index, "href")).transpose()?;
    file.requires_python = attribute(tag, "data-requires-python")?.filter(|specifier| !specifier.is_empty());
    file.upload_time = attribute(tag, "data-upload-time")?.filter(|time| !time.is_empty());
    file.yanked = attribute(tag, "data-yanked")?.map_or(Yanked::No, Yanked::yes);
    for name in ["data-core-metadata", "data-dist-info-metadata"] {
        if let Some(value) = attribute(tag, name)? {
            file.core_metadata = match value.split_once('=') {
                Some(("sha256", digest)) => CoreMetadata::Sha256(parse_digest(digest, index, name)?),
                None if value == "false" => CoreMetadata::Absent,
                _ => CoreMetadata::Unhashed,
            };
            break;
        }
    }
    Ok(Some(file))
}

fn parse_digest(text: &str, index: usize, name: &str) -> Result<[u8; 32], PageError> {
    match text.parse::<Sha256>() {
        Ok(digest) => Ok(digest.0),
        Err(error) => Err(PageError::Field {
            field: format!("anchor {}, {name}", index.saturating_add(1)),
            problem: error.to_string(),
        }),
    }
}

fn attribute(tag: &StartTag<()>, name: &str) -> Result<Option<String>, PageError> {
    let Some(value) = tag.attributes.get(name.as_bytes()) else {
        return Ok(None);
    };
    at_most(format_args!("bytes of an attribute {name}"), value.len(), MAX_TEXT_BYTES)?;
    Ok(Some(text(value)))
}

/// Pages of other encodings lose only what is not ASCII, and nothing that is checked later is.
fn text(value: &HtmlString) -> String {
    String::from_utf8_lossy(value).into_owned()
}

fn percent_decode(text: &str) -> String {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        let decoded = match (first, tail) {
            (b'%', [high, low, after @ ..]) => data_encoding::HEXLOWER_PERMISSIVE
                .decode(&[*high, *low])
                .ok()
                .and_then(|bytes| Some((*bytes.first()?, after))),
            _ => None,
        };
        let (byte, after) = decoded.unwrap_or((first, tail));
        out.push(byte);
        rest = after;
    }
    String::from_utf8_lossy(&out).into_owned()
}
