//! The side that answers: one listener, TLS with a certificate from both sides, and bounds on everything.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use yunzhan_base::{Error, Kind, Result};

use super::{ANSWER_BYTES_MAX, Answer, CALL_BYTES_MAX, Identity, too_large, wire};
use crate::shutdown::Shutdown;

/// Connections at a time: a handful from each node of a large cluster.
const CONNECTIONS_MAX: usize = 1024;
/// How long a handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long a connection may be idle, or a head take; longer than callers keep idle connections (50 s).
const HEAD_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a call's bytes may take to arrive: they are few, and nodes are near.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// After an error of the listener, such as too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The head line of a call holds a principal with its roles.
const HEAD_LINE_BYTES_MAX: usize = 64 << 10;

/// Answers other nodes until the shutdown begins. Calls in progress then end, for as long as the shutdown waits.
pub fn serve(
    listener: TcpListener,
    identity: &Arc<Identity>,
    answer: Arc<dyn Answer>,
    shutdown: Shutdown,
) -> Result<()> {
    let acceptor = TlsAcceptor::from(identity.server_config()?);
    tokio::spawn(accept(listener, acceptor, answer, shutdown));
    Ok(())
}

async fn accept(
    listener: TcpListener,
    acceptor: TlsAcceptor,
    answer: Arc<dyn Answer>,
    mut shutdown: Shutdown,
) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let accepted = tokio::select! {
            () = shutdown.triggered() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        // Over the bound a connection is closed; its caller does without, as when a node cannot be reached.
        if let Ok(place) = Arc::clone(&places).try_acquire_owned() {
            let (acceptor, answer) = (acceptor.clone(), Arc::clone(&answer));
            let shutdown = shutdown.clone();
            tokio::spawn(async move {
                serve_connection(stream, acceptor, answer, shutdown).await;
                drop(place);
            });
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    answer: Arc<dyn Answer>,
    mut shutdown: Shutdown,
) {
    let _ = stream.set_nodelay(true);
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = handshake else { return };
    let service = service_fn(move |request| respond(Arc::clone(&answer), request));
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(HEAD_TIMEOUT);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        _ = connection.as_mut() => true,
        () = shutdown.triggered() => false,
    };
    if !ended {
        connection.as_mut().graceful_shutdown();
        // A connection that breaks was its caller's to notice.
        let _ = connection.await;
    }
}

async fn respond(
    answer: Arc<dyn Answer>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (status, body) = match try_respond(answer.as_ref(), request).await {
        Ok(bytes) => (StatusCode::OK, bytes),
        Err(error) => (error.kind().entry().status, wire::write_refusal(&error)),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    Ok(response)
}

async fn try_respond(answer: &dyn Answer, request: Request<Incoming>) -> Result<Bytes> {
    if request.uri().path() != wire::PATH {
        return Err(Error::new(Kind::NotFound, "nodes call one path only"));
    }
    let body = Limited::new(request.into_body(), CALL_BYTES_MAX + HEAD_LINE_BYTES_MAX).collect();
    let body = tokio::time::timeout(BODY_TIMEOUT, body).await;
    let body = body.map_err(|_| Error::new(Kind::Timeout, "the call did not arrive in time"))?;
    let body = body.map_err(|error| too_large(CALL_BYTES_MAX).because(error))?.to_bytes();
    let call = wire::read(&body)?;
    let deadline = call.deadline;
    let answered = tokio::time::timeout_at(deadline.into(), answer.answer(call)).await;
    let bytes = answered.map_err(|_| Error::new(Kind::Timeout, Kind::Timeout.entry().en))??;
    if bytes.len() > ANSWER_BYTES_MAX { Err(too_large(ANSWER_BYTES_MAX)) } else { Ok(bytes) }
}
