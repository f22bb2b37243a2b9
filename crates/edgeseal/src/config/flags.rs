//! The flags of `edgeseal serve`.

use std::{net::SocketAddr, path::PathBuf};

use clap::Args;
use serde::Serialize;

use super::LogFormat;

/// The flags of `serve`. All are optional here; their defaults are those of [`Config`](super::Config).
#[derive(Args, Debug, Default, Serialize)]
pub(crate) struct Flags {
    /// Config file in TOML; its keys are named like these flags
    #[arg(long, value_name = "FILE")]
    #[serde(skip)]
    pub(crate) config: Option<PathBuf>,
    /// Take over from the process that serves this data directory, without refusing a connection
    #[arg(long)]
    #[serde(skip)]
    pub(crate) take_over: bool,
    /// Data directory [default: ./edgeseal-data]
    #[arg(long, value_name = "DIR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) data: Option<PathBuf>,
    /// The store: sqlite:PATH or memory: [default: sqlite:DATA/store.db]
    #[arg(long, value_name = "URL")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) store: Option<String>,
    /// Address of the API, plain HTTP [default: 127.0.0.1:7080]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api: Option<SocketAddr>,
    /// Address of the API over TLS; needs the two files below [default: none]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls: Option<SocketAddr>,
    /// Certificate chain of the API over TLS, in PEM
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls_cert_file: Option<PathBuf>,
    /// Private key of the API over TLS, in PEM
    #[arg(long, value_name = "FILE")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) api_tls_key_file: Option<PathBuf>,
    /// Address of the edge, HTTPS [default: 127.0.0.1:8443]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) https: Option<SocketAddr>,
    /// Address of the edge, plain HTTP [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) http: Option<SocketAddr>,
    /// Address of health and metrics [default: 127.0.0.1:7081]
    #[arg(long, value_name = "ADDR")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) admin: Option<SocketAddr>,
    /// Group of the edge; edges of the group "staging" serve staged certificates [default: production]
    #[arg(long, value_name = "NAME")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) group: Option<String>,
    /// Format of the log: auto, text or json [default: auto]
    #[arg(long, value_name = "FORMAT")]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) log_format: Option<LogFormat>,
}
