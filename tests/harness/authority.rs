//! An authority of a test's own: it signs certificates for this machine and for nobody else.

use anyhow::Result;
use openssl::asn1::Asn1Time;
use openssl::bn::{BigNum, MsbOption};
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::{PKey, Private};
use openssl::x509::extension::{BasicConstraints, SubjectAlternativeName};
use openssl::x509::{X509, X509Builder, X509Name, X509NameBuilder};

/// Who signs.
#[derive(Debug)]
pub struct Authority {
    key: PKey<Private>,
    certificate: X509,
}

/// Whom somebody signed, in PEM.
#[derive(Clone, Debug)]
pub struct Signed {
    /// What is shown to others.
    pub certificate: Vec<u8>,
    /// What is shown to nobody (PKCS 8).
    pub key: Vec<u8>,
}

impl Authority {
    /// A new one, for a day.
    pub fn new(name: &str) -> Result<Self> {
        let key = new_key()?;
        let name = named(name)?;
        let mut builder = begin(&name, &name, &key)?;
        builder.append_extension(BasicConstraints::new().critical().ca().build()?)?;
        builder.sign(&key, MessageDigest::sha256())?;
        Ok(Self { certificate: builder.build(), key })
    }

    /// Its own certificate, in PEM: who holds it trusts whom it signed.
    pub fn pem(&self) -> Result<Vec<u8>> {
        Ok(self.certificate.to_pem()?)
    }

    /// Signs a program on this machine, for a day.
    pub fn sign(&self, name: &str) -> Result<Signed> {
        let key = new_key()?;
        let mut builder = begin(&named(name)?, self.certificate.subject_name(), &key)?;
        let place = SubjectAlternativeName::new()
            .ip("127.0.0.1")
            .build(&builder.x509v3_context(Some(&self.certificate), None))?;
        builder.append_extension(place)?;
        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(Signed { certificate: builder.build().to_pem()?, key: key.private_key_to_pem_pkcs8()? })
    }
}

fn new_key() -> Result<PKey<Private>> {
    let curve = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    Ok(PKey::from_ec_key(EcKey::generate(&curve)?)?)
}

fn named(name: &str) -> Result<X509Name> {
    let mut builder = X509NameBuilder::new()?;
    builder.append_entry_by_text("CN", name)?;
    Ok(builder.build())
}

fn begin(subject: &X509Name, issuer: &openssl::x509::X509NameRef, key: &PKey<Private>) -> Result<X509Builder> {
    let mut builder = X509::builder()?;
    builder.set_version(2)?;
    let mut number = BigNum::new()?;
    number.rand(120, MsbOption::MAYBE_ZERO, false)?;
    builder.set_serial_number(number.to_asn1_integer()?.as_ref())?;
    builder.set_subject_name(subject)?;
    builder.set_issuer_name(issuer)?;
    builder.set_pubkey(key)?;
    builder.set_not_before(Asn1Time::days_from_now(0)?.as_ref())?;
    builder.set_not_after(Asn1Time::days_from_now(1)?.as_ref())?;
    Ok(builder)
}
