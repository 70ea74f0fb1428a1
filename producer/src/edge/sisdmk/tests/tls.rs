//! A peer whose certificate nobody vouches for: it hears nothing, least of all the token.

use super::*;
use crate::state::BatchStatus;
use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::error::ErrorStack;
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslAcceptor, SslMethod};
use openssl::x509::extension::SubjectAlternativeName;
use openssl::x509::{X509, X509NameBuilder};
use std::io::Read as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A server's side of TLS, for this address, signed by itself.
fn self_signed() -> Result<SslAcceptor, ErrorStack> {
    let key = PKey::from_ec_key(EcKey::generate(EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?.as_ref())?)?;
    let mut name = X509NameBuilder::new()?;
    name.append_entry_by_text("CN", "127.0.0.1")?;
    let name = name.build();
    let mut certificate = X509::builder()?;
    certificate.set_version(2)?;
    certificate.set_subject_name(&name)?;
    certificate.set_issuer_name(&name)?;
    certificate.set_pubkey(&key)?;
    certificate.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    certificate.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    let address = SubjectAlternativeName::new().ip("127.0.0.1").build(&certificate.x509v3_context(None, None))?;
    certificate.append_extension(address)?;
    certificate.sign(&key, MessageDigest::sha256())?;
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls())?;
    acceptor.set_private_key(&key)?;
    acceptor.set_certificate(&certificate.build())?;
    Ok(acceptor.build())
}

#[tokio::test]
async fn a_peer_without_a_known_authority_is_told_nothing() {
    let acceptor = self_signed().expect("a certificate");
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = format!("https://{}", listener.local_addr().expect("an address"));
    let (links, heard) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counted, written) = (Arc::clone(&links), Arc::clone(&heard));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::Relaxed);
            if let Some(Ok(mut link)) = stream.ok().map(|stream| acceptor.accept(stream)) {
                let mut bytes = [0; 4096];
                let length = link.read(&mut bytes).unwrap_or_default();
                written.lock().expect("a lock").extend_from_slice(&bytes[..length]);
            }
        }
    });
    let folder = tempfile::tempdir().expect("a folder");
    let ran = drive::region(&address, folder.path(), &[]).await;
    assert_eq!(ran.batch.status, Some(BatchStatus::Failed));
    assert_eq!((ran.failed.len(), ran.waits.len(), ran.slices.len()), (4, 3, 0), "{:?}", ran.failed);
    assert!(links.load(Ordering::Relaxed) >= 4, "it was asked");
    assert_eq!(heard.lock().expect("a lock").len(), 0, "it heard something");
}
