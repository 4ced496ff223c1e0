//! Two nodes, and a stranger.

use tokio::net::TcpListener;
use yunzhan_base::principal::User;

use super::*;
use crate::shutdown::Trigger;

const NOW_MS: fn() -> i64 = || yunzhan_base::Clock::System.now_ms();
const HOST: &str = "127.0.0.1";

/// Answers with what it was told, or as the call's name says.
struct Echo;

impl Answer for Echo {
    fn answer(&self, call: PeerCall) -> AnswerFuture<'_> {
        Box::pin(async move {
            match call.name.as_str() {
                "echo" => Ok(call.bytes),
                "who" => Ok(format!("{:?} {}", call.principal, call.request_id).into()),
                "hang" => std::future::pending().await,
                "large" => Ok(vec![0; ANSWER_BYTES_MAX + 1].into()),
                _ => Err(Error::new(Kind::NotFound, "no such call")),
            }
        })
    }
}

struct Node {
    address: String,
    trigger: Trigger,
}

async fn node(seed: u8) -> Node {
    let identity = Authority::from_seed(&[seed; 32]).unwrap().identity(HOST, NOW_MS()).unwrap();
    let listener = TcpListener::bind((HOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let trigger = Trigger::default();
    serve(listener, &identity, Arc::new(Echo), trigger.watcher()).unwrap();
    Node { address, trigger }
}

fn peers(seed: u8) -> Peers {
    let authority = Authority::from_seed(&[seed; 32]).unwrap();
    Peers::new(&authority.identity(HOST, NOW_MS()).unwrap()).unwrap()
}

fn call(name: &str, bytes: impl Into<Bytes>) -> PeerCall {
    PeerCall {
        name: name.into(),
        principal: Principal::Operator,
        request_id: RequestId::NONE,
        deadline: Instant::now() + Duration::from_secs(30),
        bytes: bytes.into(),
    }
}

#[tokio::test]
async fn nodes_of_one_cluster_call_each_other() {
    let node = node(1).await;
    let peers = peers(1);
    for said in [&b""[..], b"tea\n\0", &[7; 100_000]] {
        assert_eq!(peers.call(&node.address, call("echo", said)).await.unwrap(), said);
    }
    let user = User {
        env: "shop".parse().unwrap(),
        uid: "u1".into(),
        openid: None,
        roles: vec!["店长".into()],
        session: "s".into(),
        anonymous: false,
        expires_s: 7,
    };
    let principal = Principal::User(Arc::new(user));
    let expected = format!("{principal:?} {}", RequestId::NONE);
    let who = PeerCall { principal, ..call("who", "") };
    assert_eq!(peers.call(&node.address, who).await.unwrap(), expected);
    assert!(node.trigger.drain(Duration::from_secs(60)).await);
}

#[tokio::test]
async fn refusals_and_bounds_come_back_as_what_they_are() {
    let node = node(1).await;
    let peers = peers(1);
    let kind = async |call| peers.call(&node.address, call).await.unwrap_err().kind();
    assert_eq!(kind(call("paint", "")).await, Kind::NotFound);
    assert_eq!(kind(call("large", "")).await, Kind::TooLarge);
    assert_eq!(kind(call("echo", vec![0; CALL_BYTES_MAX + 1])).await, Kind::TooLarge);
    let soon = Instant::now() + Duration::from_millis(50);
    assert_eq!(kind(PeerCall { deadline: soon, ..call("hang", "") }).await, Kind::Timeout);
    let nobody = TcpListener::bind((HOST, 0)).await.unwrap().local_addr().unwrap().to_string();
    let unreached = peers.call(&nobody, call("echo", "")).await.unwrap_err();
    assert_eq!(unreached.kind(), Kind::Unavailable);
}

#[tokio::test]
async fn a_stranger_is_neither_answered_nor_called() {
    let (ours, theirs) = (node(1).await, node(2).await);
    let said = peers(2).call(&ours.address, call("echo", "secret")).await.unwrap_err();
    assert!(matches!(said.kind(), Kind::Unavailable | Kind::BadUpstream), "{said:?}");
    let said = peers(1).call(&theirs.address, call("echo", "secret")).await.unwrap_err();
    assert_eq!(said.kind(), Kind::Unavailable, "nothing may be sent to a stranger: {said:?}");
    // Without any certificate, as a port scanner comes; and in plain text.
    let plain = Client::new(Config::default());
    let target = Target::parse(&format!("http://{}", ours.address)).unwrap();
    let soon = Instant::now() + Duration::from_secs(30);
    assert!(plain.get_bytes(&target, wire::PATH, 100, soon).await.is_err());
}

#[tokio::test]
async fn a_certificate_ends_and_is_renewed() {
    let authority = Authority::from_seed(&[1; 32]).unwrap();
    let day_ms = 86_400_000;
    let identity = authority.identity(HOST, NOW_MS() - 2 * day_ms).unwrap();
    let node = node(1).await;
    let old = Peers::new(&identity).unwrap();
    assert!(old.call(&node.address, call("echo", "tea")).await.is_err());
    authority.renew(&identity, HOST, NOW_MS()).unwrap();
    assert_eq!(old.call(&node.address, call("echo", "tea")).await.unwrap(), "tea");
}
