//! A bucket of an S3 server, by the settings that all programs for S3 take from the environment.

use std::sync::Arc;
use std::time::Duration;

use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::client::{HttpClient, HttpConnector};
use object_store::{BackoffConfig, ClientOptions, RetryConfig};
use tuf_client::transport::{HttpOptions, HttpTransport};

use super::{ObjectStorage, StorageError, check_path};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How often a request is repeated, as long as [`RETRY_TIMEOUT`] has not passed.
const RETRIES: usize = 5;
/// Less than the deadline of any request.
const RETRY_TIMEOUT: Duration = Duration::from_secs(15);

/// Our HTTP client, whose TLS is ring's: the one that the crate would make takes whatever provider the process has.
#[derive(Debug)]
struct Connector(HttpClient);

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(self.0.clone())
    }
}

/// The storage `s3://BUCKET/PREFIX` with the settings in these variables.
pub(super) fn open(
    url: &str,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<ObjectStorage, StorageError> {
    let (bucket, prefix) = parse(url)?;
    let setup = |reason: String| StorageError::Setup { storage: url.to_owned(), reason };
    let mut options = HttpOptions::default();
    options.connect_timeout = CONNECT_TIMEOUT;
    let mut builder = AmazonS3Builder::new();
    for (name, value) in variables {
        match name.as_str() {
            "AWS_CA_BUNDLE" => options.ca_file = Some(value.into()),
            "AWS_ENDPOINT_URL" | "AWS_ENDPOINT_URL_S3" | "AWS_ENDPOINT" if !is_http(&value) => {
                return Err(setup(format!("{name} does not begin with https:// or http://")));
            }
            _ if name.starts_with("AWS_") => {
                // What it does not know is for other programs.
                if let Ok(key) = name.to_ascii_lowercase().parse::<AmazonS3ConfigKey>() {
                    builder = builder.with_config(key, value);
                }
            }
            _ => {}
        }
    }
    let transport = HttpTransport::new(options).map_err(|error| setup(error.to_string()))?;
    let retries = RetryConfig {
        max_retries: RETRIES,
        retry_timeout: RETRY_TIMEOUT,
        backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
    };
    let store = builder
        .with_bucket_name(bucket)
        .with_retry(retries)
        .with_http_connector(Connector(HttpClient::new(transport.client().clone())))
        .build()
        .map_err(|error| setup(error.to_string()))?;
    ObjectStorage::new(Arc::new(store), url, prefix)
}

fn is_http(url: &str) -> bool {
    url.starts_with("https://") || url.starts_with("http://")
}

/// Bucket and prefix.
fn parse(url: &str) -> Result<(&str, &str), StorageError> {
    // What is before an `@` may be a secret.
    let shown = url.rsplit_once('@').map_or_else(|| url.to_owned(), |(_, rest)| format!("…@{rest}"));
    let refuse = |reason: &str| Err(StorageError::Url { url: shown.clone(), reason: reason.to_owned() });
    let Some(rest) = url.strip_prefix("s3://") else {
        return refuse("it does not begin with s3://");
    };
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    let prefix = prefix.strip_suffix('/').unwrap_or(prefix);
    // The bucket becomes a part of the request's path or host name.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    if !(3..=255).contains(&bucket.len()) || !bucket.bytes().all(plain) {
        return refuse("the bucket's name has 3 to 255 letters, digits, dots, hyphens and underscores");
    }
    match check_path(prefix) {
        Err(StorageError::Path { reason, .. }) if !prefix.is_empty() => {
            refuse(&format!("its prefix: {reason}"))
        }
        _ => Ok((bucket, prefix)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_bucket_and_a_prefix() {
        for (url, expected) in [
            ("s3://bucket", ("bucket", "")),
            ("s3://bucket/", ("bucket", "")),
            ("s3://my.bucket_1/a/b", ("my.bucket_1", "a/b")),
            ("s3://bucket/a b/", ("bucket", "a b")),
        ] {
            assert_eq!(parse(url).unwrap(), expected, "{url}");
        }
        for url in [
            "",
            "bucket",
            "/srv/public",
            "https://bucket",
            "s3:/bucket",
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://a b c",
            "s3://key:secret@bucket/x",
            "s3://bucket//a",
            "s3://bucket/a//b",
            "s3://bucket/../x",
            "s3://bucket/?x=\n",
        ] {
            let error = parse(url).unwrap_err();
            assert!(matches!(error, StorageError::Url { .. }), "{url}: {error}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn settings_of_the_environment_that_cannot_be_used_are_named() {
        let open_with =
            |name: &str, value: &str| open("s3://bucket/a", [(name.to_owned(), value.to_owned())]);
        for (name, value) in [
            ("AWS_ENDPOINT_URL", "127.0.0.1:9000"),
            ("AWS_CA_BUNDLE", "/nowhere/ca.pem"),
            ("AWS_SECRET_ACCESS_KEY", "half of a pair"),
        ] {
            let error = open_with(name, value).unwrap_err();
            assert!(matches!(error, StorageError::Setup { .. }), "{name}: {error}");
            assert!(!error.to_string().contains("half of a pair"), "{error}");
            assert!(error.hint().is_some());
        }
        open_with("AWS_ENDPOINT_URL", "https://s3.example").unwrap();
        open_with("HOME", "/nowhere").unwrap();
    }
}
