//! The authorities that may have signed a server's certificate.

use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, UnixTime};

use super::certificate::Parsed;

/// The certificates of `sslrootcert`. As for OpenSSL, only a self-issued one ends a chain; the
/// others may stand within a chain. So a file that has an intermediate authority alone trusts
/// nobody.
#[derive(Debug)]
pub(super) struct RootSet {
    /// The self-issued certificates.
    pub(super) roots: Vec<Parsed>,
    /// The other certificates.
    pub(super) intermediates: Vec<CertificateDer<'static>>,
}

impl RootSet {
    /// The authorities among `certificates`.
    pub(super) fn of(certificates: Vec<Parsed>) -> Self {
        let (roots, others): (Vec<_>, Vec<_>) =
            certificates.into_iter().partition(Parsed::is_self_issued);
        let intermediates = others.into_iter().map(|certificate| certificate.der).collect();
        Self { roots, intermediates }
    }

    /// Whether every root may be used now.
    pub(super) fn are_all_current(&self, now: UnixTime) -> bool {
        self.roots.iter().all(|root| root.check_dates(now).is_ok())
    }

    /// The roots that may sign, for webpki; with `now`, only those that may do so now.
    pub(super) fn anchors(&self, now: Option<UnixTime>) -> RootCertStore {
        let mut store = RootCertStore::empty();
        let signing = self.roots.iter().filter(|root| root.may_sign());
        let current = signing.filter(|root| now.is_none_or(|now| root.check_dates(now).is_ok()));
        store.add_parsable_certificates(current.map(|root| root.der.clone()));
        store
    }
}
