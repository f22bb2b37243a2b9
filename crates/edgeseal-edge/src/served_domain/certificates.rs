//! One certificate of a domain, or two of which a client gets the one that it can verify.

use std::fmt;

use triomphe::{Arc, ArcBorrow, ArcUnion, ArcUnionBorrow};

use super::Material;

/// Material that domains share. No weak references: 8 bytes less per certificate than the standard
/// library's `Arc`.
pub type SharedMaterial = Arc<Material>;

/// The one certificate of a domain, or its two.
///
/// One pointer, whose lowest bit tells which of the two it is: a domain with one certificate pays
/// nothing for those that have two.
#[derive(Clone, PartialEq)]
pub struct Certificates(ArcUnion<Material, Pair>);

/// Two certificates: one with an ECDSA key, one with an RSA key.
#[derive(PartialEq, Eq)]
struct Pair {
    ecdsa: SharedMaterial,
    rsa: SharedMaterial,
    first: KeyKind,
}

/// The kind of a key, where a domain has one of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyKind {
    /// ECDSA.
    Ecdsa,
    /// RSA.
    Rsa,
}

/// The certificates of a domain, by key kind.
#[derive(Clone, Copy, Debug)]
pub enum CertificateSet<'a> {
    /// For every client.
    Single(ArcBorrow<'a, Material>),
    /// The client gets the one that it can verify; `ecdsa` if both, because it costs both sides
    /// less.
    Pair {
        /// With an ECDSA key.
        ecdsa: ArcBorrow<'a, Material>,
        /// With an RSA key.
        rsa: ArcBorrow<'a, Material>,
        /// Which of them was bound first.
        first: KeyKind,
    },
}

impl Certificates {
    /// One certificate.
    #[must_use]
    pub fn single(material: SharedMaterial) -> Self {
        Self(ArcUnion::from_first(material))
    }

    /// Two certificates; `key` is the kind of the first one's key.
    #[must_use]
    pub fn pair(first: SharedMaterial, companion: SharedMaterial, key: KeyKind) -> Self {
        let (ecdsa, rsa) = match key {
            KeyKind::Ecdsa => (first, companion),
            KeyKind::Rsa => (companion, first),
        };
        Self(ArcUnion::from_second(Arc::new(Pair {
            ecdsa,
            rsa,
            first: key,
        })))
    }

    /// The certificates as an enum.
    #[must_use]
    pub fn as_set(&self) -> CertificateSet<'_> {
        match self.0.borrow() {
            ArcUnionBorrow::First(material) => CertificateSet::Single(material),
            ArcUnionBorrow::Second(pair) => {
                let pair = pair.get();
                CertificateSet::Pair {
                    ecdsa: pair.ecdsa.borrow_arc(),
                    rsa: pair.rsa.borrow_arc(),
                    first: pair.first,
                }
            }
        }
    }

    /// All of them.
    pub fn materials(&self) -> impl Iterator<Item = ArcBorrow<'_, Material>> {
        let (one, other) = match self.as_set() {
            CertificateSet::Single(one) => (one, None),
            CertificateSet::Pair { ecdsa, rsa, .. } => (ecdsa, Some(rsa)),
        };
        std::iter::once(one).chain(other)
    }

    /// The same with each material replaced by what `keep` returns for it.
    #[must_use]
    pub fn map(self, mut keep: impl FnMut(SharedMaterial) -> SharedMaterial) -> Self {
        match self.as_set() {
            CertificateSet::Single(material) => Self::single(keep(material.clone_arc())),
            CertificateSet::Pair { ecdsa, rsa, first } => {
                let (ecdsa, rsa) = (keep(ecdsa.clone_arc()), keep(rsa.clone_arc()));
                Self(ArcUnion::from_second(Arc::new(Pair { ecdsa, rsa, first })))
            }
        }
    }
}

impl Eq for Certificates {}

impl fmt::Debug for Certificates {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digests = self.materials().map(|material| *material.digest());
        f.debug_list().entries(digests).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::served_domain::Chain;
    use edgeseal_core::certificate::Digest;

    fn material(text: &str) -> SharedMaterial {
        let leaf = text.as_bytes();
        let chain = std::sync::Arc::new(Chain::default());
        Arc::new(Material::new(Digest::of(leaf), leaf, chain, b"sealed"))
    }

    fn leaves(certificates: &Certificates) -> Vec<&[u8]> {
        let materials = certificates.materials();
        materials.map(|material| material.get().leaf()).collect()
    }

    #[test]
    fn a_pair_is_distinguished_by_key_kind_in_either_order() {
        for (first, leaf_of_first) in [(KeyKind::Ecdsa, "ec"), (KeyKind::Rsa, "rsa")] {
            let companion = if leaf_of_first == "ec" { "rsa" } else { "ec" };
            let two = Certificates::pair(material(leaf_of_first), material(companion), first);
            assert_eq!(leaves(&two), [&b"ec"[..], b"rsa"]);
            let CertificateSet::Pair { first: found, .. } = two.as_set() else {
                panic!("one");
            };
            assert_eq!(found, first);
        }
    }

    #[test]
    fn map_replaces_every_material() {
        let mut seen = Vec::new();
        let kept = material("kept");
        let two = Certificates::pair(material("a"), material("b"), KeyKind::Ecdsa);
        let mapped = two.map(|came| {
            seen.push(came.leaf().to_vec());
            kept.clone()
        });
        assert_eq!(seen, [b"a", b"b"]);
        assert_eq!(leaves(&mapped), [b"kept", b"kept"]);
        drop(mapped);
        assert_eq!(Arc::strong_count(&kept), 1, "nothing is left behind");
    }
}
