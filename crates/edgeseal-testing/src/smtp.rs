//! A mail server (RFC 5321) that keeps what it is sent: STARTTLS if it has a certificate, and AUTH
//! PLAIN if it knows a password.

use std::{io, net::SocketAddr, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader},
    net::TcpListener,
    sync::watch,
    time::timeout,
};
use tokio_rustls::TlsAcceptor;

use crate::{pki::TestCertificate, tls::server_config, wait::TIMEOUT};

/// The server.
pub struct MailServer {
    pub address: SocketAddr,
    mails: watch::Receiver<Vec<Mail>>,
}

/// A mail.
#[derive(Clone, Debug, Default)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    pub text: String,
    pub encrypted: bool,
    pub authenticated: bool,
}

struct Config {
    tls: Option<TlsAcceptor>,
    credentials: Option<(String, String)>,
    mails: watch::Sender<Vec<Mail>>,
}

impl MailServer {
    /// A server with this certificate, for users with these credentials only.
    pub async fn start(
        certificate: Option<&TestCertificate>,
        credentials: Option<(&str, &str)>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, mails) = watch::channel(Vec::new());
        let config = Arc::new(Config {
            tls: certificate.map(|it| TlsAcceptor::from(Arc::new(server_config(it, &[])))),
            credentials: credentials.map(|(user, word)| (user.to_owned(), word.to_owned())),
            mails: sender,
        });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let config = Arc::clone(&config);
                tokio::spawn(async move {
                    let mut stream = BufReader::new(stream);
                    stream.write_all(b"220 test\r\n").await?;
                    if !talk(&mut stream, &config, false).await? {
                        return Ok(());
                    }
                    let Some(tls) = &config.tls else {
                        return Ok(());
                    };
                    let stream = tls.accept(stream.into_inner()).await?;
                    talk(&mut BufReader::new(stream), &config, true).await?;
                    Ok::<_, io::Error>(())
                });
            }
        });
        Self { address, mails }
    }

    /// All mails so far, at least so many.
    pub async fn at_least(&self, count: usize) -> Vec<Mail> {
        let mut mails = self.mails.clone();
        let enough = mails.wait_for(|all| all.len() >= count);
        let all = timeout(TIMEOUT, enough).await;
        all.unwrap_or_else(|_| panic!("{count} mails did not come"))
            .unwrap()
            .clone()
    }
}

/// Answers commands; returns whether TLS begins.
async fn talk<S>(stream: &mut BufReader<S>, config: &Config, encrypted: bool) -> io::Result<bool>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut mail = Mail {
        encrypted,
        ..Mail::default()
    };
    let mut line = String::new();
    loop {
        line.clear();
        if stream.read_line(&mut line).await? == 0 {
            return Ok(false);
        }
        let command = line.trim_end();
        let (word, rest) = command.split_once([' ', ':']).unwrap_or((command, ""));
        let reply = match word.to_ascii_uppercase().as_str() {
            "EHLO" => {
                let tls = if config.tls.is_some() && !encrypted {
                    "250-STARTTLS\r\n"
                } else {
                    ""
                };
                let auth = if config.credentials.is_some() {
                    "250-AUTH PLAIN\r\n"
                } else {
                    ""
                };
                format!("250-test\r\n{tls}{auth}250 8BITMIME\r\n")
            }
            "STARTTLS" => {
                stream.write_all(b"220 go\r\n").await?;
                return Ok(true);
            }
            "AUTH" => {
                let expected = config.credentials.as_ref().map(|(user, word)| {
                    format!("PLAIN {}", STANDARD.encode(format!("\0{user}\0{word}")))
                });
                mail.authenticated = expected.as_deref() == Some(rest);
                let reply = if mail.authenticated {
                    "235 ok"
                } else {
                    "535 wrong"
                };
                format!("{reply}\r\n")
            }
            "MAIL" if config.credentials.is_some() && !mail.authenticated => {
                "530 authenticate first\r\n".to_owned()
            }
            "MAIL" => {
                mail.from = address(rest);
                "250 ok\r\n".to_owned()
            }
            "RCPT" => {
                mail.to.push(address(rest));
                "250 ok\r\n".to_owned()
            }
            "DATA" => {
                stream.write_all(b"354 go\r\n").await?;
                mail.text = read_data(stream).await?;
                config.mails.send_modify(|all| all.push(mail.clone()));
                "250 ok\r\n".to_owned()
            }
            "QUIT" => {
                stream.write_all(b"221 bye\r\n").await?;
                return Ok(false);
            }
            _ => "250 ok\r\n".to_owned(),
        };
        stream.write_all(reply.as_bytes()).await?;
    }
}

async fn read_data<S: AsyncRead + Unpin>(stream: &mut BufReader<S>) -> io::Result<String> {
    let mut text = String::new();
    loop {
        let mut line = String::new();
        if stream.read_line(&mut line).await? == 0 || line == ".\r\n" {
            return Ok(text);
        }
        text.push_str(line.strip_prefix('.').unwrap_or(&line));
    }
}

/// The address between the angle brackets of `FROM:<…>`.
fn address(rest: &str) -> String {
    let inner = rest
        .split_once('<')
        .and_then(|(_, rest)| rest.split_once('>'));
    inner.map_or("", |(address, _)| address).to_owned()
}
