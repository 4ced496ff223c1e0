//! Opening the doors: addresses, the certificate, the control socket and its token.

use std::fs::{self, Permissions};
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;

use tokio::net::{TcpListener, UnixListener};
use yunzhan_base::config::Words;
use yunzhan_base::{DataDir, Error, Kind, Result, Secret};
use yunzhan_gateway::tls::{Certificate, CertificateFiles, development_certificate};

use crate::config::ListenAt;
use crate::data::socket::SocketPath;
use crate::data::{failed, whole_file};

/// Random bytes of the operator's token: 256 bits.
const TOKEN_BYTES: usize = 32;

/// A door and where it turned out to be.
pub(crate) struct Door {
    pub(crate) listener: TcpListener,
    pub(crate) address: SocketAddr,
}

/// Listens, or says which key names the address that cannot be had.
pub(crate) async fn open(at: ListenAt, key: &str) -> Result<Option<Door>> {
    let Some(wanted) = at.address() else { return Ok(None) };
    let opened = async {
        let listener = TcpListener::bind(wanted).await?;
        let address = listener.local_addr()?;
        Ok::<_, io::Error>(Door { listener, address })
    };
    opened.await.map(Some).map_err(|error| {
        let words = cannot_listen(&wanted.to_string(), key, &error);
        Error::new(Kind::Unavailable, words.en).because(error)
    })
}

/// Why an address cannot be had, and what to do about it.
pub(crate) fn cannot_listen(wanted: &str, key: &str, error: &io::Error) -> Words {
    let (en, zh) = match error.kind() {
        io::ErrorKind::AddrInUse => (
            "; another program listens there: stop it, or choose another address",
            "; 已有其他程序监听此地址: 请停止它, 或换一个地址",
        ),
        io::ErrorKind::PermissionDenied => (
            "; ports below 1024 need a privilege: choose another, or grant it",
            "; 1024 以下的端口需要特权: 请换一个端口, 或授予权限",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "; no interface of this machine has it: choose another address, or configure the interface first",
            "; 本机没有此地址: 请换一个地址, 或先配置网络接口",
        ),
        _ => ("", ""),
    };
    Words::new(
        format!("cannot listen on {wanted} ({key}): {error}{en}"),
        format!("无法监听 {wanted} ({key}): {error}{zh}"),
    )
}

/// The control socket. Only the holder of the folder's lock may call this, so a socket that is there is a dead one's.
pub(crate) fn open_control_socket(dir: &DataDir) -> Result<UnixListener> {
    let path = dir.control_socket();
    let refuse = |error| failed("listen on", &path, error);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(refuse(error)),
        _ => {}
    }
    let short = SocketPath::of(&path)?;
    let listener = UnixListener::bind(short.path()).map_err(refuse)?;
    fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(refuse)?;
    Ok(listener)
}

/// Draws this start's operator token and leaves it where its owner alone can read it.
pub(crate) fn make_control_token(dir: &DataDir) -> Result<Secret> {
    let mut bytes = [0; TOKEN_BYTES];
    getrandom::fill(&mut bytes)
        .map_err(|error| Error::internal(format!("no randomness: {error}")))?;
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    whole_file::write(&dir.control_token(), token.as_bytes())?;
    Ok(Secret::from(token.as_str()))
}

/// Leaves nothing behind that only a running process may have.
pub(crate) fn close_control(dir: &DataDir) {
    for path in [dir.control_socket(), dir.control_token()] {
        // What is gone already is as good as removed; what cannot be removed is replaced at the next start.
        let _ = fs::remove_file(path);
    }
}

/// The configured certificate, or the development certificate of this data folder, made when it is absent.
pub(crate) fn open_certificate(
    dir: &DataDir,
    configured: Option<&CertificateFiles>,
) -> Result<(Certificate, CertificateFiles)> {
    if let Some(files) = configured {
        return Ok((Certificate::load(files)?, files.clone()));
    }
    let files = CertificateFiles {
        chain: dir.tls().join("development.pem"),
        key: dir.tls().join("development.key"),
    };
    if !(files.key.exists() && files.chain.exists()) {
        let (chain, key) = development_certificate()?;
        // A cut between the two writes leaves no key, and the next start makes both: never a key beside another chain.
        match fs::remove_file(&files.key) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(failed("remove", &files.key, error));
            }
            _ => {}
        }
        whole_file::write(&files.chain, chain.as_bytes())?;
        whole_file::write(&files.key, key.as_bytes())?;
    }
    Ok((Certificate::load(&files)?, files))
}
