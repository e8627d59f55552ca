//! Certificates of every kind, good and bad.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// An authority that signs whatever it is asked to.
pub struct Forge {
    key: KeyPair,
    issuer: CertificateParams,
    pub certificate_pem: String,
}

/// A certificate with its key: what a peer shows.
pub struct Shown {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
    pub certificate_pem: String,
    pub key_pem: String,
}

impl Forge {
    pub fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let mut issuer = params(name, &[]);
        issuer.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        issuer.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let certificate = issuer.self_signed(&key).expect("signs itself");
        Self {
            certificate_pem: certificate.pem(),
            key,
            issuer,
        }
    }

    /// Issues a good certificate with this URI name.
    pub fn issue(&self, uri: &str) -> Shown {
        self.sign(params("leaf", &[uri]))
    }

    /// Issues a certificate that was valid before, or will be.
    pub fn issue_for_years(&self, uri: &str, from: i32, to: i32) -> Shown {
        let mut params = params("leaf", &[uri]);
        params.not_before = rcgen::date_time_ymd(from, 1, 1);
        params.not_after = rcgen::date_time_ymd(to, 1, 1);
        self.sign(params)
    }

    /// Issues a certificate that may be shown by who dials, and not by who is dialled.
    pub fn issue_to_dial(&self, uri: &str) -> Shown {
        let mut params = params("leaf", &[uri]);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        self.sign(params)
    }

    /// Issues a certificate without a name.
    pub fn issue_nameless(&self) -> Shown {
        self.sign(params("leaf", &[]))
    }

    fn sign(&self, params: CertificateParams) -> Shown {
        let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let issuer = Issuer::new(self.issuer.clone(), &self.key);
        let signed = params.signed_by(&key, &issuer).expect("signed");
        shown(&signed, &key)
    }
}

/// Makes a certificate that nobody has signed but itself.
pub fn self_signed(uri: &str) -> Shown {
    let key = KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
    let signed = params("leaf", &[uri]).self_signed(&key).expect("signed");
    shown(&signed, &key)
}

fn shown(signed: &rcgen::Certificate, key: &KeyPair) -> Shown {
    Shown {
        chain: vec![signed.der().clone()],
        key: PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        certificate_pem: signed.pem(),
        key_pem: key.serialize_pem(),
    }
}

fn params(name: &str, uris: &[&str]) -> CertificateParams {
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name);
    let mut params = CertificateParams::default();
    params.distinguished_name = subject;
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(4096, 1, 1);
    let uris = uris.iter().map(|uri| (*uri).try_into().expect("a name"));
    params.subject_alt_names = uris.map(SanType::URI).collect();
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::ServerAuth,
    ];
    params
}
