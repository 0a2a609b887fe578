//! TLS by rustls with ring, and whom it believes: the system's certificate authorities and those given.
//!
//! The provider is named here and not taken from the process's default, which a library must not rely on; the
//! ALPN protocols then have to be named as well. The system's authorities are read when the first certificate is to be
//! verified: they are hundreds of files, which a program that only ever asks `http` or `file` URLs does not need.

use std::{
    io,
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, ring},
    pki_types::{
        CertificateDer, ServerName, UnixTime,
        pem::{self, PemObject},
    },
};
use rustls_platform_verifier::Verifier;

use super::SetupError;

/// The TLS settings of a client that trusts these authorities (PEM) besides the system's.
pub(super) fn config(ca_file: Option<&Path>) -> Result<ClientConfig, SetupError> {
    let setup = |error: rustls::Error| SetupError::Http(error.into());
    let extra = match ca_file {
        Some(path) => read_certificates(path.to_owned())?,
        None => Vec::new(),
    };
    // What was given by name is complained about now, not at the first connection.
    let mut usable = RootCertStore::empty();
    for certificate in &extra {
        usable.add(certificate.clone()).map_err(setup)?;
    }
    let provider = Arc::new(ring::default_provider());
    let authorities = Authorities { extra, provider: Arc::clone(&provider), loaded: OnceLock::new() };
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(setup)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(authorities))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// The platform's verifier, which is set up when it is needed.
#[derive(Debug)]
struct Authorities {
    extra: Vec<CertificateDer<'static>>,
    provider: Arc<CryptoProvider>,
    loaded: OnceLock<Result<Verifier, rustls::Error>>,
}

impl Authorities {
    fn verifier(&self) -> Result<&Verifier, rustls::Error> {
        let load = || {
            let (extra, provider) = (self.extra.iter().cloned(), Arc::clone(&self.provider));
            let verifier = Verifier::new_with_extra_roots(extra, provider);
            if let Err(error) = &verifier {
                tracing::warn!(%error, "no certificate authorities found: https does not work");
            }
            verifier
        };
        self.loaded.get_or_init(load).as_ref().map_err(Clone::clone)
    }
}

impl ServerCertVerifier for Authorities {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verifier()?.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.verifier()?.verify_tls13_signature(message, cert, dss)
    }

    /// Asked before there is a certificate; every platform's verifier has those of its provider.
    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn read_certificates(path: PathBuf) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let read = || -> Result<Vec<_>, pem::Error> { CertificateDer::pem_file_iter(&path)?.collect() };
    let source = match read() {
        Ok(certificates) if !certificates.is_empty() => return Ok(certificates),
        Ok(_) => io::Error::new(io::ErrorKind::InvalidData, "there is no PEM certificate in it"),
        Err(pem::Error::Io(error)) => error,
        Err(error) => io::Error::new(io::ErrorKind::InvalidData, error.to_string()),
    };
    Err(SetupError::CaFile { path, source })
}
