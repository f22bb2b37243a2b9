//! After `101 Switching Protocols`: octets both ways, whatever they mean.

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::copy_bidirectional;

use crate::drain::Token;

/// Copies both ways until both sides have ended, one has failed, or the edge is about to end.
pub(super) fn spawn(client: OnUpgrade, origin: OnUpgrade, mut token: Token) {
    tokio::spawn(async move {
        let tunnel = async {
            let (client, origin) = futures_util::future::try_join(client, origin).await?;
            let (mut client, mut origin) = (TokioIo::new(client), TokioIo::new(origin));
            copy_bidirectional(&mut client, &mut origin).await?;
            Ok::<(), Box<dyn std::error::Error + Send + Sync>>(())
        };
        tokio::select! {
            result = tunnel => {
                if let Err(error) = result {
                    tracing::debug!(error = &*error as &dyn std::error::Error, "a tunnel broke");
                }
            }
            () = token.cut() => {}
        }
    });
}
