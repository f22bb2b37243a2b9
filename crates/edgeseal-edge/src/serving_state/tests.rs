use edgeseal_core::delivery::DeliveryConfig;
use edgeseal_store::{Keyring, Revision};

use super::*;
use crate::served_domain::Certificates;

/// Each renewal may come from another authority: what no certificate needs any more is let go of.
#[test]
fn issuers_are_dropped_with_the_last_material_that_uses_them() {
    let keyring = Keyring::parse(&Keyring::generate()).unwrap();
    let keys = Arc::new(KeyCache::new(keyring, 10));
    let serving = ServingState::new(keys, Environment::Production, PrivateOrigins::default());
    let name = DomainPattern::parse("a.com").unwrap();
    for number in 0..1000_u32 {
        let issuer: Arc<[u8]> = number.to_be_bytes()[..].into();
        let digest = Digest::of(&issuer);
        serving.keep_issuer(digest, issuer);
        let chain = serving.chain(&[digest]).unwrap();
        let material = Material::new(Digest::of(&number.to_le_bytes()), b"leaf", chain, b"key");
        let certificates = Certificates::single(SharedMaterial::new(material));
        let entry = ServedDomain {
            domain_id: 1,
            online: true,
            https: Https::On(certificates),
            origins: Arc::default(),
            delivery: DeliveryConfig::default(),
            revision: Revision(u64::from(number) + 1),
        };
        serving.put(&name, entry);
        serving.sweep();
    }
    let chains = serving.chains.lock();
    assert!(chains.issuers.len() <= 130, "{}", chains.issuers.len());
    assert!(chains.chains.len() <= 130, "{}", chains.chains.len());
    let last = Digest::of(&999_u32.to_be_bytes());
    assert!(chains.issuers.contains_key(&last));
}
