//! Profiles of the `aliyun` CLI: `~/.aliyun/config.json`.

use std::{env, fs, path::PathBuf};

use edgeseal_core::Secret;
use serde::Deserialize;
use zeroize::Zeroizing;

use super::{AccessKey, CliError};

#[derive(Deserialize)]
struct Configuration {
    #[serde(default)]
    profiles: Vec<Profile>,
}

/// The members of a profile that are used here.
#[derive(Deserialize)]
struct Profile {
    #[serde(default)]
    name: String,
    /// The mode of authentication; `AK` if absent.
    #[serde(default)]
    mode: String,
    #[serde(default)]
    access_key_id: String,
    #[serde(default)]
    access_key_secret: Zeroizing<String>,
    #[serde(default)]
    sts_token: String,
}

/// The access key of the profile with this name.
pub(super) fn read(name: &str) -> Result<AccessKey, CliError> {
    let home = env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let path = home.join(".aliyun/config.json");
    let text = fs::read_to_string(&path).map(Zeroizing::new);
    let text =
        text.map_err(|error| CliError::Usage(format!("cannot read {}: {error}", path.display())))?;
    access_key(&text, name)
        .map_err(|why| CliError::Usage(format!("profile {name:?} of {}: {why}", path.display())))
}

fn access_key(text: &str, name: &str) -> Result<AccessKey, String> {
    // The parser's message may contain a secret of the file.
    let found: Result<Configuration, _> = serde_json::from_str(text);
    let found = found.map_err(|error| {
        format!(
            "not JSON as aliyun configure writes it, line {}",
            error.line()
        )
    })?;
    let names: Vec<String> = found.profiles.iter().map(|one| one.name.clone()).collect();
    let profile = found.profiles.into_iter().find(|one| one.name == name);
    let profile =
        profile.ok_or_else(|| format!("there is none; there are {}", names.join(", ")))?;
    let token = match profile.mode.as_str() {
        "" | "AK" => None,
        "StsToken" => Some(profile.sts_token),
        other => {
            return Err(format!(
                "its mode is {other}; only AK and StsToken hold an access key"
            ));
        }
    };
    if profile.access_key_id.is_empty() || profile.access_key_secret.is_empty() {
        return Err("it has no access key".to_owned());
    }
    Ok(AccessKey {
        id: profile.access_key_id,
        secret: Secret::new(profile.access_key_secret.as_bytes().to_vec()),
        token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"{"current": "default", "meta_path": "", "profiles": [
        {"name": "default", "mode": "AK", "access_key_id": "id", "access_key_secret": "secret", "sts_token": "",
         "region_id": "cn-hangzhou", "retry_count": 0, "language": "en"},
        {"name": "short", "mode": "StsToken", "access_key_id": "STS.id", "access_key_secret": "s", "sts_token": "t"},
        {"name": "role", "mode": "RamRoleArn", "access_key_id": "a", "access_key_secret": "b"},
        {"name": "empty", "mode": "AK"}]}"#;

    #[test]
    fn profiles() {
        for (name, id, token) in [("default", "id", None), ("short", "STS.id", Some("t"))] {
            let key = access_key(FILE, name).unwrap();
            assert_eq!((key.id.as_str(), key.token.as_deref()), (id, token));
        }
        for (text, name, says) in [
            (FILE, "absent", "there are default, short, role, empty"),
            (FILE, "role", "RamRoleArn"),
            (FILE, "empty", "no access key"),
            ("secret", "default", "not JSON"),
        ] {
            let Err(why) = access_key(text, name) else {
                panic!("{name} gives an access key")
            };
            assert!(why.contains(says), "{why}");
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
