//! A small origin: a page that shows the request as forwarded by the edge.

use std::convert::Infallible;

use http_body_util::Full;
use hyper::{
    Request, Response,
    body::{Bytes, Incoming},
    header::{CONTENT_TYPE, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// Answers every request until the process ends.
pub(super) async fn serve(listener: TcpListener) {
    while let Ok((stream, _)) = listener.accept().await {
        let connection =
            http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(
                    error = &error as &dyn std::error::Error,
                    "a connection to the demo's origin was aborted"
                );
            }
        });
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let header = |name: &str| {
        let value = request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or("–");
        escape(value)
    };
    let rows = ["host", "x-forwarded-proto", "x-forwarded-for", "user-agent"];
    let rows: String = rows
        .iter()
        .map(|name| format!("<tr><th>{name}<td>{}", header(name)))
        .collect();
    let body = PAGE
        .replace("{host}", &header("host"))
        .replace("{rows}", &rows)
        .replace("{path}", &escape(request.uri().path()));
    let mut response = Response::new(Full::new(Bytes::from(body)));
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    Ok(response)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

const PAGE: &str = include_str!("page.html");
