//! The path from the leaf towards a root: which intermediates are served, and in which order.

use std::cmp::Reverse;

use super::{
    chain::Chain,
    invalid::{InvalidCertificate, Untrusted},
    parsed::ParsedCertificate,
    signature::{self, SignatureError},
};
use crate::Timestamp;

/// A path from the leaf towards a root.
#[derive(Default)]
pub(super) struct Path {
    /// Indices of the intermediates in serving order, without leaf and root.
    pub(super) intermediates: Vec<usize>,
    /// Whether it ends at an uploaded root, or the leaf is self-issued.
    pub(super) complete: bool,
}

/// Finds the path to serve.
///
/// That is the shortest path to an uploaded root; without a root, the longest of the shortest paths
/// to a certificate whose issuer was not uploaded. If several certificates have the name of an
/// issuer (cross-signed or renewed ones), the one with the matching key identifier goes first, then
/// the one that is valid longest, then the smaller DER; the order of the upload never matters. Each
/// certificate is visited once, so a cycle of cross-signatures ends. Certificates off the path are
/// dropped.
///
/// # Errors
/// [`InvalidCertificate::Untrusted`] if every path is blocked by a signature that does not verify
/// or by an issuer that is not a CA; then [`InvalidCertificate::Expired`] and
/// [`InvalidCertificate::NotYetValid`], if no path is free of such certificates. The validity of a
/// root does not matter: it is not served.
pub(super) fn find(chain: &Chain<'_>, now: Timestamp) -> Result<Path, InvalidCertificate> {
    let mut search = Search::new(chain);
    let path = search
        .run(|issuer| !issuer.is_expired(now) && !issuer.is_not_yet_valid(now))
        .or_else(|| search.run(|_| true));
    let path = match (path, search.blocked_by) {
        (Some(path), _) => path,
        (None, Some(why)) => return Err(why.into()),
        // Unreachable: a path that is not blocked has an end.
        (None, None) => Path::default(),
    };
    let served = || {
        let intermediates = path.intermediates.iter();
        std::iter::once(chain.leaf()).chain(intermediates.map(|at| &chain.certificates[*at]))
    };
    if let Some(expired) = served().find(|served| served.is_expired(now)) {
        return Err(InvalidCertificate::Expired {
            certificate: expired.block_ref(),
            not_after: expired.not_after(),
        });
    }
    if let Some(early) = served().find(|served| served.is_not_yet_valid(now)) {
        return Err(InvalidCertificate::NotYetValid {
            certificate: early.block_ref(),
            not_before: early.not_before(),
        });
    }
    Ok(path)
}

struct Search<'c, 'a> {
    chain: &'c Chain<'a>,
    /// Whether the certificate of the column issued that of the row, if already checked.
    checked: Vec<Option<Result<(), Untrusted>>>,
    /// The first thing that blocked a path in the last run.
    blocked_by: Option<Untrusted>,
}

/// A certificate on a path.
struct Step {
    at: usize,
    /// Index of the previous step; `None` for the leaf.
    below: Option<usize>,
    depth: usize,
}

impl<'c, 'a> Search<'c, 'a> {
    fn new(chain: &'c Chain<'a>) -> Self {
        let count = chain.certificates.len();
        Self {
            chain,
            checked: vec![None; count * count],
            blocked_by: None,
        }
    }

    /// Breadth-first search from the leaf, through intermediates that are `usable` and through
    /// roots. `None` if every path is blocked.
    fn run(&mut self, usable: impl Fn(&ParsedCertificate<'_>) -> bool) -> Option<Path> {
        let chain = self.chain;
        self.blocked_by = None;
        let mut reached = vec![false; chain.certificates.len()];
        reached[chain.leaf] = true;
        let mut steps = vec![Step {
            at: chain.leaf,
            below: None,
            depth: 0,
        }];
        let mut deepest: Option<usize> = None;
        let mut current = 0;
        while let Some(&Step { at, depth, .. }) = steps.get(current) {
            let mut issuers = self.named_issuers(at);
            let alone = at != chain.leaf || issuers.is_empty();
            if alone && chain.certificates[at].is_self_issued() {
                return Some(Path::through(&steps, current, true));
            }
            // Already reached issuers have their position; the path does not continue through this
            // child.
            issuers.retain(|issuer| !reached[*issuer]);
            if issuers.is_empty() && deepest.is_none_or(|deepest| steps[deepest].depth < depth) {
                deepest = Some(current);
            }
            for issuer in issuers {
                let candidate = &chain.certificates[issuer];
                if !usable(candidate) && !candidate.is_self_issued() {
                    continue;
                }
                if let Err(why) = self.check(at, issuer) {
                    self.blocked_by.get_or_insert(why);
                    continue;
                }
                reached[issuer] = true;
                steps.push(Step {
                    at: issuer,
                    below: Some(current),
                    depth: depth + 1,
                });
            }
            current += 1;
        }
        deepest.map(|end| Path::through(&steps, end, false))
    }

    /// The certificates whose subject is the issuer name of `child`, best first.
    fn named_issuers(&self, child: usize) -> Vec<usize> {
        let certificates = &self.chain.certificates;
        let child_certificate = &certificates[child];
        let mut issuers: Vec<usize> = (0..certificates.len())
            .filter(|at| *at != child && certificates[*at].is_named_issuer_of(child_certificate))
            .collect();
        issuers.sort_by_key(|at| {
            let issuer = &certificates[*at];
            let hint = issuer.key_id_match(child_certificate);
            (hint, Reverse(issuer.not_after()), issuer.der)
        });
        issuers
    }

    /// Whether `issuer` is a CA and issued `child`. Verifies each pair once.
    fn check(&mut self, child: usize, issuer: usize) -> Result<(), Untrusted> {
        let certificates = &self.chain.certificates;
        let slot = &mut self.checked[child * certificates.len() + issuer];
        slot.get_or_insert_with(|| check_issuance(&certificates[child], &certificates[issuer]))
            .clone()
    }
}

impl Path {
    /// The path from the leaf to `end`, which is left out if it is a root.
    fn through(steps: &[Step], end: usize, complete: bool) -> Self {
        let mut intermediates = Vec::new();
        let mut current = &steps[end];
        while let Some(below) = current.below {
            intermediates.push(current.at);
            current = &steps[below];
        }
        if complete && !intermediates.is_empty() {
            intermediates.remove(0);
        }
        intermediates.reverse();
        Self {
            intermediates,
            complete,
        }
    }
}

fn check_issuance(
    child: &ParsedCertificate<'_>,
    issuer: &ParsedCertificate<'_>,
) -> Result<(), Untrusted> {
    if let Err(why) = issuer.check_ca() {
        return Err(Untrusted::NotACa {
            child: child.block_ref(),
            issuer: issuer.block_ref(),
            reason: why,
        });
    }
    signature::verify(&child.x509, issuer.x509.public_key()).map_err(|why| match why {
        SignatureError::Invalid => Untrusted::Signature {
            child: child.block_ref(),
            issuer: issuer.block_ref(),
        },
        SignatureError::Unsupported => Untrusted::SignatureAlgorithm {
            child: child.block_ref(),
            issuer: issuer.block_ref(),
            algorithm: child.x509.signature_algorithm.algorithm.to_id_string(),
        },
    })
}
