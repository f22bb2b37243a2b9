//! Certificate files, one for each name: leaf, intermediate and key in PEM, which every peer reads.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use edgeseal_testing::pki::{Authority, TestCertificate};
use rcgen::KeyPair;
use tempfile::TempDir;

use crate::{BenchResult, bulk_store};

/// A directory of certificates. The file of a name is `NAME.pem`.
pub(crate) struct CertDirectory {
    path: PathBuf,
    names: Vec<String>,
    /// Removed on drop, unless the directory is reused between runs.
    _temporary: Option<TempDir>,
}

impl CertDirectory {
    /// A directory of these certificates, for this run.
    pub(crate) fn create(certified: &[(&str, &TestCertificate)]) -> BenchResult<Self> {
        let temporary = TempDir::with_prefix("bench-folder-")?;
        let folder = Self {
            path: temporary.path().to_owned(),
            names: certified.iter().map(|(name, _)| (*name).into()).collect(),
            _temporary: Some(temporary),
        };
        for (name, certified) in certified {
            folder.replace(name, certified)?;
        }
        Ok(folder)
    }

    /// As many certificates as domains in the store of the same size, with the same names. Created
    /// once, on all cores, and reused.
    pub(crate) fn prepare(count: usize) -> BenchResult<Self> {
        let out = Path::new(env!("CARGO_MANIFEST_DIR")).join("out");
        let folder = Self {
            path: out.join(format!("folder-{count}")),
            names: (0..count).map(bulk_store::domain_name).collect(),
            _temporary: None,
        };
        let note = out.join(format!("folder-{count}.made"));
        if note.exists() {
            return Ok(folder);
        }
        fs::create_dir_all(&folder.path)?;
        let began = Instant::now();
        let authority = Authority::new();
        let cores = std::thread::available_parallelism()?.get();
        std::thread::scope(|scope| {
            let parts: Vec<_> = folder.names.chunks(count.div_ceil(cores).max(1)).collect();
            let (folder, authority) = (&folder, &authority);
            let threads: Vec<_> = parts
                .into_iter()
                .map(|names| scope.spawn(move || folder.fill(names, authority)))
                .collect();
            for thread in threads {
                thread.join().map_err(|_| "no certificates were made")??;
            }
            BenchResult::Ok(())
        })?;
        println!("{count} files made in {} s", began.elapsed().as_secs());
        fs::write(note, "")?;
        Ok(folder)
    }

    fn fill(&self, names: &[String], authority: &Authority) -> BenchResult<()> {
        for name in names {
            let certified = authority.issue_for(&[name], KeyPair::generate()?, |_| {});
            fs::write(self.file(name), certified.combined())?;
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(format!("{name}.pem"))
    }

    /// Atomically replaces the certificate file of a name.
    pub(crate) fn replace(&self, name: &str, certified: &TestCertificate) -> BenchResult<()> {
        let aside = self.path.join(format!(".{name}"));
        fs::write(&aside, certified.combined())?;
        Ok(fs::rename(aside, self.file(name))?)
    }
}
