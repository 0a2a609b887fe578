//! Pages in JSON (PEP 691).
//!
//! Objects are read one level at a time, each field as the raw text it is in the page. So a wrong type is reported
//! with the field's name, a repeated key is seen in every object that is read, and a hostile page cannot make a
//! tree much larger than itself. Fields that nobody asks for are skipped.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::error::PageError;
use super::name::ProjectName;
use super::page::{
    CoreMetadata, MAX_FILES, MAX_PAGE_BYTES, MAX_TEXT_BYTES, Page, PageFile, Yanked, at_most,
    check_api_version,
};
use super::sha256::Sha256;

/// The most keys of one object. The API defines 15 for a file.
const MAX_KEYS: usize = 256;

/// A page, and the field that only signed pages have.
pub(super) struct Document {
    pub(super) page: Page,
    pub(super) layout: Option<String>,
}

pub(super) fn parse(body: &[u8], project: &ProjectName) -> Result<Document, PageError> {
    at_most("the page's bytes", body.len(), MAX_PAGE_BYTES)?;
    let fields =
        serde_json::from_slice(body).map_err(|error| PageError::Json { problem: describe(&error) })?;
    let top = Object::new(fields, String::new())?;

    let meta = top.object("meta")?.ok_or_else(|| top.missing("meta"))?;
    check_api_version(&meta.required_text("api-version")?)?;
    let name = top.required_text("name")?;
    if !project.is_spelled(&name) {
        return Err(PageError::Project { expected: project.clone(), found: name });
    }

    let mut page = Page::empty(project.clone());
    page.last_serial = meta.value("_last-serial")?;
    if let Some(status) = top.object("project-status")? {
        page.status = status.text("status")?;
        page.status_reason = status.text("reason")?;
    }
    for raw in top.list("versions")?.unwrap_or_default() {
        page.versions.push(text_of(raw, || "versions".to_owned())?);
    }
    let files = top.list("files")?.ok_or_else(|| top.missing("files"))?;
    for (index, raw) in files.into_iter().enumerate() {
        page.files.push(file(&Object::parse(raw, format!("files[{index}]"))?)?);
    }
    Ok(Document { page, layout: meta.text("_layout")? })
}

fn file(object: &Object<'_>) -> Result<PageFile, PageError> {
    let mut file = PageFile::new(object.required_text("filename")?, object.required_text("url")?);
    if let Some(hashes) = object.object("hashes")? {
        file.sha256 = hashes.digest()?;
    }
    file.size = object.value("size")?;
    file.upload_time = object.text("upload-time")?;
    file.requires_python = object.text("requires-python")?.filter(|specifier| !specifier.is_empty());
    file.yanked = yanked(object)?;
    // The first name is PEP 714's; the second was PEP 691's; the third is what PyPI sent by mistake.
    for key in ["core-metadata", "dist-info-metadata", "data-dist-info-metadata"] {
        if let Some(found) = core_metadata(object, key)? {
            file.core_metadata = found;
            break;
        }
    }
    Ok(file)
}

/// `true`, `false`, or an object of hashes.
fn core_metadata(object: &Object<'_>, key: &str) -> Result<Option<CoreMetadata>, PageError> {
    Ok(match object.raw(key).map(RawValue::get) {
        None => None,
        Some("false") => Some(CoreMetadata::Absent),
        Some("true") => Some(CoreMetadata::Unhashed),
        Some(_) => match object.object(key)? {
            None => None,
            Some(hashes) => Some(hashes.digest()?.map_or(CoreMetadata::Unhashed, CoreMetadata::Sha256)),
        },
    })
}

/// `true`, `false`, or the reason; an empty reason means "not yanked" (PEP 691: only a truthy value counts).
fn yanked(object: &Object<'_>) -> Result<Yanked, PageError> {
    Ok(match object.raw("yanked").map(RawValue::get) {
        None | Some("false") => Yanked::No,
        Some("true") => Yanked::yes(""),
        Some(_) => object.text("yanked")?.filter(|reason| !reason.is_empty()).map_or(Yanked::No, Yanked::yes),
    })
}

/// One JSON object, its fields unread.
struct Object<'a> {
    /// Where it is in the page; empty for the page itself.
    at: String,
    fields: BTreeMap<String, &'a RawValue>,
}

impl<'a> Object<'a> {
    fn parse(raw: &'a RawValue, at: String) -> Result<Self, PageError> {
        let fields = read(raw, || at.clone())?;
        Self::new(fields, at)
    }

    fn new(fields: Fields<'a>, at: String) -> Result<Self, PageError> {
        if let Some(key) = fields.repeated {
            let object = if at.is_empty() { "the page".to_owned() } else { at };
            return Err(PageError::DuplicateKey { key, object });
        }
        Ok(Self { at, fields: fields.fields })
    }

    /// The field's raw value; `null` counts as absent, as upstream indexes mean it.
    fn raw(&self, key: &str) -> Option<&'a RawValue> {
        self.fields.get(key).copied().filter(|raw| raw.get() != "null")
    }

    fn value<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, PageError> {
        self.raw(key).map(|raw| read(raw, || self.path(key))).transpose()
    }

    fn text(&self, key: &str) -> Result<Option<String>, PageError> {
        self.raw(key).map(|raw| text_of(raw, || self.path(key))).transpose()
    }

    fn required_text(&self, key: &str) -> Result<String, PageError> {
        self.text(key)?.ok_or_else(|| self.missing(key))
    }

    fn object(&self, key: &str) -> Result<Option<Self>, PageError> {
        self.raw(key).map(|raw| Self::parse(raw, self.path(key))).transpose()
    }

    fn list(&self, key: &str) -> Result<Option<Vec<&'a RawValue>>, PageError> {
        let Some(list) = self.value::<List<'a>>(key)? else {
            return Ok(None);
        };
        at_most(self.path(key), list.length, MAX_FILES)?;
        Ok(Some(list.items))
    }

    /// The `sha256` of an object of hashes.
    fn digest(&self) -> Result<Option<[u8; 32]>, PageError> {
        let Some(text) = self.text("sha256")? else {
            return Ok(None);
        };
        match text.parse::<Sha256>() {
            Ok(digest) => Ok(Some(digest.0)),
            Err(error) => Err(PageError::Field { field: self.path("sha256"), problem: error.to_string() }),
        }
    }

    fn path(&self, key: &str) -> String {
        if self.at.is_empty() { key.to_owned() } else { format!("{}.{key}", self.at) }
    }

    fn missing(&self, key: &str) -> PageError {
        PageError::Missing { field: self.path(key) }
    }
}

fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue, field: impl Fn() -> String) -> Result<T, PageError> {
    serde_json::from_str(raw.get())
        .map_err(|error| PageError::Field { field: field(), problem: describe(&error) })
}

fn text_of(raw: &RawValue, field: impl Fn() -> String) -> Result<String, PageError> {
    let text: String = read(raw, &field)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(PageError::TooMuch {
            found: text.len(),
            limit: MAX_TEXT_BYTES,
            what: format!("bytes of {}", field()),
        });
    }
    Ok(text)
}

/// The reader's message, which quotes what it found: shortened, since what it found is hostile.
fn describe(error: &serde_json::Error) -> String {
    error.to_string().chars().take(200).collect()
}

struct Fields<'a> {
    fields: BTreeMap<String, &'a RawValue>,
    repeated: Option<String>,
}

impl<'de: 'a, 'a> Deserialize<'de> for Fields<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = Fields<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Fields<'de>, A::Error> {
                let mut found = Fields { fields: BTreeMap::new(), repeated: None };
                while let Some((key, value)) = map.next_entry::<String, &'de RawValue>()? {
                    if found.fields.contains_key(&key) {
                        found.repeated = Some(key.chars().take(200).collect());
                    } else if found.fields.len() == MAX_KEYS {
                        return Err(serde::de::Error::custom(format_args!(
                            "expected at most {MAX_KEYS} keys, found more"
                        )));
                    } else {
                        found.fields.insert(key, value);
                    }
                }
                Ok(found)
            }
        }

        deserializer.deserialize_map(Reader)
    }
}

struct List<'a> {
    /// The first `MAX_FILES` entries.
    items: Vec<&'a RawValue>,
    length: usize,
}

impl<'de: 'a, 'a> Deserialize<'de> for List<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Reader;

        impl<'de> Visitor<'de> for Reader {
            type Value = List<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<List<'de>, A::Error> {
                let mut items = Vec::new();
                while items.len() < MAX_FILES {
                    let Some(item) = seq.next_element::<&'de RawValue>()? else {
                        break;
                    };
                    items.push(item);
                }
                let mut length = items.len();
                while seq.next_element::<IgnoredAny>()?.is_some() {
                    length = length.saturating_add(1);
                }
                Ok(List { items, length })
            }
        }

        deserializer.deserialize_seq(Reader)
    }
}
