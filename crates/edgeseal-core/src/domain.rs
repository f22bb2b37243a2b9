//! An accelerated domain: its record, the certificates bound to it, and which changes are legal.

mod binding;

use serde::{Deserialize, Serialize};

pub use self::binding::{Binding, Companion, CompanionError};
use crate::{
    AccountId, DomainPattern, Timestamp,
    delivery::{DeliveryConfig, Setting},
    private_origins::OriginPermission,
};

/// A domain that the edge serves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Domain {
    /// Its ID, unique over all accounts.
    pub id: i64,
    /// Its name.
    pub name: DomainPattern,
    /// The account that owns it.
    pub account: AccountId,
    /// Whether it is served.
    pub state: DomainState,
    /// Whether its certificate may be changed.
    pub mode: DomainMode,
    /// What it delivers.
    pub service: ServiceType,
    /// Where it is delivered.
    pub coverage: Coverage,
    /// Where its content comes from.
    pub origins: Vec<Origin>,
    /// Whether its account may have origins with non-public addresses.
    #[serde(default, skip_serializing_if = "OriginPermission::is_unknown")]
    pub origin_permission: OriginPermission,
    /// Free text of the owner.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub description: String,
    /// The owner's resource group.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub resource_group: String,
    /// The owner's tags, sorted by key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<(String, String)>,
    /// When it was added.
    pub created: Timestamp,
    /// When it was last changed.
    pub modified: Timestamp,
    /// HTTPS on the production edges.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub production: Option<Binding>,
    /// HTTPS on the staging edges, if it differs from production.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staging: Option<Binding>,
    /// The owner's settings, sorted by ID.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub settings: Vec<Setting>,
    /// Settings that replace those of the same name, or join them, on the staging edges.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub staged_settings: Vec<Setting>,
    /// Derived from `settings`.
    #[serde(default)]
    pub delivery: DeliveryConfig,
    /// Derived from `settings` overlaid with `staged_settings`; absent if nothing is staged.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub staged_delivery: Option<DeliveryConfig>,
    /// The environments whose certificate is ordered and renewed here; see
    /// [`crate::managed_certificate`].
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub managed: Vec<Environment>,
}

/// Which edges a change applies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Environment {
    /// All edges except those of the staging group.
    Production,
    /// The edges of the staging group only.
    Staging,
}

/// Whether a domain is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DomainState {
    /// Served.
    Online,
    /// Stopped by its owner.
    Offline,
    /// Being prepared.
    Configuring,
    /// Preparation failed.
    ConfigureFailed,
    /// Under review.
    Checking,
    /// Review failed.
    CheckFailed,
    /// Being stopped by its owner.
    Stopping,
    /// Being deleted.
    Deleting,
}

/// The operator's lock on the certificate of a domain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DomainMode {
    /// Not locked.
    #[default]
    Normal,
    /// Locked for caution: changes are refused.
    Safe,
    /// Locked for protection: changes are forbidden.
    Protected,
}

/// What kind of content a domain delivers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceType {
    /// Pages and small files.
    Web,
    /// Large files.
    Download,
    /// Audio and video on demand.
    Video,
}

/// Where a domain is delivered.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coverage {
    /// Inside the operator's home country.
    #[default]
    Domestic,
    /// Outside that country.
    Overseas,
    /// Everywhere.
    Global,
}

/// One origin server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// Host name or IP address.
    pub address: String,
    /// What `address` is.
    pub kind: OriginKind,
    /// TCP port.
    pub port: u16,
    /// Lower goes first, 0–100: 20 for a primary, 30 for a secondary.
    pub priority: u8,
    /// Share of requests among origins of the same priority, 0–100.
    pub weight: u8,
}

/// What kind of address an origin has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginKind {
    /// An IP address.
    Ipaddr,
    /// A host name.
    Domain,
    /// An object storage bucket's host name.
    Oss,
    /// A function's host name.
    FcDomain,
    /// Any other host name.
    Common,
}

/// Why the certificate of a domain may not be changed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CertificateLocked {
    /// [`DomainMode::Protected`].
    #[error("the operator has put the domain into protected mode")]
    Protected,
    /// [`DomainMode::Safe`].
    #[error("the operator has put the domain into safe mode")]
    Safe,
    /// Stopped, or being stopped, by its owner.
    #[error("the domain is stopped; start it first")]
    Stopped,
    /// In any state other than online.
    #[error("the domain is {state:?}, not online")]
    NotOnline {
        /// The state.
        state: DomainState,
    },
}

/// Nothing is staged that could be published or rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the domain has no staged certificate and no staged settings")]
pub struct NothingStaged;

impl Environment {
    /// The name in records and keys of the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Staging => "staging",
        }
    }
}

impl DomainMode {
    /// Whether the owner may change the certificate, or delete the domain: deleting and adding it
    /// again would change the certificate too.
    ///
    /// # Errors
    /// [`CertificateLocked::Protected`] or [`CertificateLocked::Safe`].
    pub const fn check_unlocked(self) -> Result<(), CertificateLocked> {
        match self {
            Self::Normal => Ok(()),
            Self::Safe => Err(CertificateLocked::Safe),
            Self::Protected => Err(CertificateLocked::Protected),
        }
    }
}

impl Domain {
    /// Whether the certificate may be changed now. The mode is checked before the state.
    ///
    /// # Errors
    /// [`CertificateLocked`] with the first reason.
    pub const fn check_certificate_change(&self) -> Result<(), CertificateLocked> {
        if let Err(held) = self.mode.check_unlocked() {
            return Err(held);
        }
        match self.state {
            DomainState::Online => Ok(()),
            DomainState::Offline | DomainState::Stopping => Err(CertificateLocked::Stopped),
            state => Err(CertificateLocked::NotOnline { state }),
        }
    }

    /// How edges of `environment` deliver the domain.
    #[must_use]
    pub const fn delivery(&self, environment: Environment) -> &DeliveryConfig {
        match (environment, &self.staged_delivery) {
            (Environment::Staging, Some(staged)) => staged,
            _ => &self.delivery,
        }
    }

    /// Replaces the domain's settings. `derive` turns settings into a configuration; it is called
    /// for production and, if anything is staged, for staging, where a staged setting replaces
    /// those of its name.
    ///
    /// # Errors
    /// The error of `derive`; the domain is then unchanged.
    pub fn configure<E>(
        &mut self,
        settings: Vec<Setting>,
        staged: Vec<Setting>,
        derive: impl Fn(&[Setting]) -> Result<DeliveryConfig, E>,
        now: Timestamp,
    ) -> Result<(), E> {
        let delivery = derive(&settings)?;
        let staged_delivery = if staged.is_empty() {
            None
        } else {
            Some(derive(&overlay_staged(&settings, &staged))?)
        };
        self.settings = settings;
        self.staged_settings = staged;
        self.delivery = delivery;
        self.staged_delivery = staged_delivery;
        self.modified = now;
        Ok(())
    }

    /// Makes the staged certificate and settings the production state.
    ///
    /// # Errors
    /// [`NothingStaged`].
    pub fn publish_staging(&mut self, now: Timestamp) -> Result<(), NothingStaged> {
        let binding = self.staging.take();
        let delivery = self.staged_delivery.take();
        if binding.is_none() && delivery.is_none() {
            return Err(NothingStaged);
        }
        if let Some(mut staged) = binding {
            staged.updated = now;
            self.managed = match self.is_managed(Environment::Staging) {
                true => vec![Environment::Production],
                false => Vec::new(),
            };
            self.production = Some(staged);
        }
        if let Some(staged) = delivery {
            let settings = std::mem::take(&mut self.staged_settings);
            self.settings = overlay_staged(&self.settings, &settings);
            self.delivery = staged;
        }
        self.modified = now;
        Ok(())
    }

    /// Discards what is staged: staging edges then serve what production edges serve.
    ///
    /// # Errors
    /// [`NothingStaged`].
    pub fn roll_back_staging(&mut self, now: Timestamp) -> Result<(), NothingStaged> {
        let binding = self.staging.take();
        let delivery = self.staged_delivery.take();
        if binding.is_none() && delivery.is_none() {
            return Err(NothingStaged);
        }
        self.end_management(Environment::Staging);
        self.staged_settings.clear();
        self.modified = now;
        Ok(())
    }
}

/// `settings` overlaid with `staged`: a staged setting replaces those of its name, or joins them if
/// it is repeatable. Sorted by ID.
fn overlay_staged(settings: &[Setting], staged: &[Setting]) -> Vec<Setting> {
    let replaced = |setting: &&Setting| {
        !staged
            .iter()
            .any(|other| other.name == setting.name && !other.repeatable)
    };
    let mut all: Vec<Setting> = settings.iter().filter(replaced).cloned().collect();
    all.extend_from_slice(staged);
    all.sort_by_key(|setting| setting.id);
    all
}

#[cfg(test)]
mod tests;
