//! `edgeseal call …`: any action, with its parameters as flags.

use clap::Args;
use edgeseal_api::actions::ACTIONS;

use super::{CDN_VERSION, CliError, Connection, output::say};

#[derive(Args)]
pub(super) struct Command {
    #[command(flatten)]
    connection: Connection,
    /// Version of the API [default: the one that has the action]
    #[arg(long, value_name = "VERSION")]
    api_version: Option<String>,
    /// The action
    action: String,
    /// Its parameters: --Name value or --Name=value; @FILE reads the value from a file
    #[arg(
        trailing_var_arg = true,
        allow_hyphen_values = true,
        value_name = "PARAMS"
    )]
    params: Vec<String>,
}

impl Command {
    pub(super) async fn run(self) -> Result<(), CliError> {
        let known = ACTIONS
            .iter()
            .find(|action| action.name == self.action)
            .map(|action| action.version);
        let version = self.api_version.as_deref().or(known).unwrap_or(CDN_VERSION);
        let params = parse_params(self.params)?;
        let params: Vec<(&str, &str)> = params
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let reply = self.connection.call(version, &self.action, &params).await?;
        let body = if self.connection.json {
            Ok(reply.body.to_string())
        } else {
            serde_json::to_string_pretty(&reply.body)
        };
        say!("{}", body.unwrap_or_default())?;
        Ok(())
    }
}

fn parse_params(args: Vec<String>) -> Result<Vec<(String, String)>, CliError> {
    let mut pairs = Vec::new();
    let mut args = args.into_iter();
    while let Some(arg) = args.next() {
        let Some(flag) = arg.strip_prefix("--") else {
            return Err(CliError::Usage(format!(
                "{arg:?} is no parameter; write --Name value"
            )));
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name.to_owned(), value.to_owned()),
            None => (
                flag.to_owned(),
                args.next()
                    .ok_or_else(|| CliError::Usage(format!("--{flag} has no value")))?,
            ),
        };
        pairs.push((name, read_value(value)?));
    }
    Ok(pairs)
}

fn read_value(value: String) -> Result<String, CliError> {
    let Some(path) = value.strip_prefix('@') else {
        return Ok(value);
    };
    std::fs::read_to_string(path)
        .map_err(|error| CliError::Usage(format!("cannot read {path}: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(args: &[&str]) -> Vec<(String, String)> {
        parse_params(args.iter().map(ToString::to_string).collect()).unwrap()
    }

    #[test]
    fn both_spellings() {
        let expected = vec![
            ("A".to_owned(), "1".to_owned()),
            ("B".to_owned(), "--x=y".to_owned()),
        ];
        assert_eq!(parsed(&["--A", "1", "--B=--x=y"]), expected);
        assert_eq!(parsed(&["--A=1", "--B", "--x=y"]), expected);
    }

    #[test]
    fn refused() {
        assert!(parse_params(vec!["A".to_owned()]).is_err());
        assert!(parse_params(vec!["--A".to_owned()]).is_err());
        assert!(parse_params(vec!["--A".to_owned(), "@/no/such/file".to_owned()]).is_err());
    }
}
