//! Frames and streams over a link.

use callboard_protocol::code::Code;

use super::super::stream::StreamError;
use super::*;

fn put(out: &mut Vec<u8>, body: &[u8]) -> Result<(), std::convert::Infallible> {
    out.extend_from_slice(body);
    Ok(())
}

async fn pair(config: Config) -> (Peer, Peer, Arc<Link>) {
    let shop = authority("shop");
    let a = Start {
        config: config.clone(),
        ..Start::new(node(&shop, "a"))
    }
    .go();
    let b = Start {
        config,
        ..Start::new(node(&shop, "b"))
    }
    .seeds(&[a.addr()])
    .go();
    let to_a = b.seen.linked("a").await;
    (a, b, to_a)
}

#[tokio::test]
async fn frames_of_a_lane_arrive_in_order_and_whole() {
    let (a, _b, to_a) = pair(quick()).await;
    let mut sent = Vec::new();
    for number in 0u32..2000 {
        let body = number.to_le_bytes().repeat(1 + number as usize % 100);
        let appended = to_a.append(0, |out| put(out, &body));
        appended.expect("room");
        sent.push(Bytes::from(body));
    }
    let received = a
        .seen
        .wait("frames", |seen| {
            let frame = |event: &Event| match event {
                Event::Frame { frame, .. } => Some(frame.clone()),
                _ => None,
            };
            let frames: Vec<_> = seen.events.iter().filter_map(frame).collect();
            (frames.len() == sent.len()).then_some(frames)
        })
        .await;
    assert_eq!(received, sent);
    let stats = to_a.stats();
    assert!(
        stats.frames_sent >= 2000 && stats.bytes_sent > 200_000,
        "{stats:?}"
    );
}

#[tokio::test]
async fn a_full_lane_refuses_until_the_network_has_taken_it() {
    let config = Config {
        lane_buffer_bytes_max: 1000,
        ..quick()
    };
    let (_a, _b, to_a) = pair(config).await;
    // The writer cannot run in between: the test's runtime has one thread.
    let first = to_a.append(0, |out| put(out, &[1; 1000])).expect("room");
    assert_eq!(to_a.append(0, |out| put(out, b"x")), Err(AppendError::Full));
    assert!(!to_a.left(&first));
    tokio::time::timeout(PATIENCE, to_a.writable(0))
        .await
        .expect("room again");
    assert!(to_a.left(&first));
    let late = to_a.append(0, |out| put(out, b"x")).expect("room");
    to_a.close(LinkDown::new(Code::NodeStopping, "test"));
    let why = tokio::time::timeout(PATIENCE, to_a.closed())
        .await
        .expect("down");
    assert_eq!(why, LinkDown::new(Code::NodeStopping, "test"));
    let left = to_a.left(&late);
    assert_eq!(to_a.append(0, |out| put(out, b"x")), Err(AppendError::Down));
    tokio::time::timeout(PATIENCE, to_a.writable(0))
        .await
        .expect("down is not full");
    assert_eq!(
        to_a.left(&late),
        left,
        "the answer is final once the link is down"
    );
}

#[tokio::test]
async fn a_frame_longer_than_the_peer_reads_is_not_sent() {
    let (_a, _b, to_a) = pair(quick()).await;
    let max = to_a.accepted().frame_bytes_max as usize;
    let long = to_a.append(0, |out| put(out, &vec![0; max + 1]));
    assert_eq!(long, Err(AppendError::TooLarge { len: max + 1, max }));
    to_a.append(0, |out| put(out, &vec![0; max]))
        .expect("just fits");
}

#[tokio::test]
async fn several_lanes_carry_frames_side_by_side() {
    let (a, _b, to_a) = pair(Config {
        lanes: 3,
        ..quick()
    })
    .await;
    assert_eq!(to_a.accepted().lanes, 3);
    for lane in 0..7 {
        to_a.append(lane, |out| put(out, &[7])).expect("room");
    }
    a.seen
        .wait("frames", |seen| {
            let frames = seen
                .events
                .iter()
                .filter(|event| matches!(event, Event::Frame { .. }));
            (frames.count() == 7).then_some(())
        })
        .await;
}

#[tokio::test]
async fn a_stream_carries_frames_both_ways_and_ends() {
    let (a, _b, to_a) = pair(quick()).await;
    let opened = to_a.open_stream(CallId(7), StreamFor::Call).await;
    let (mut send, mut recv) = opened.expect("a stream");
    let large = vec![3; 300_000];
    send.write_frame(vec![Bytes::from_static(b"small")])
        .await
        .expect("write");
    let taken = a.seen.wait("stream", |seen| seen.streams.pop());
    let (call, purpose, mut back, mut there) = taken.await;
    assert_eq!((call, purpose), (CallId(7), StreamFor::Call));
    let writing = async {
        send.write_frame(vec![large.clone().into()])
            .await
            .expect("write");
        send.finish();
    };
    let reading = async {
        assert_eq!(
            there.read_frame(1 << 20).await,
            Ok(Some(Bytes::from_static(b"small")))
        );
        let frame = there
            .read_frame(1 << 20)
            .await
            .expect("read")
            .expect("a frame");
        assert_eq!(frame, large);
        assert_eq!(there.read_frame(1 << 20).await, Ok(None));
    };
    tokio::join!(writing, reading);
    assert_eq!(send.ended_by_reader().await, Ok(None));
    back.write_frame(vec![Bytes::from_static(b"too long")])
        .await
        .expect("write");
    let refused = recv.read_frame(4).await;
    assert_eq!(refused, Err(StreamError::TooLarge { len: 8, max: 4 }));
}

#[tokio::test]
async fn a_frame_is_read_in_pieces_of_their_own_memory() {
    let (a, _b, to_a) = pair(quick()).await;
    let opened = to_a.open_stream(CallId(7), StreamFor::Call).await;
    let (mut send, _recv) = opened.expect("a stream");
    let pieces = [10, 100_000, 3, 200_000].map(|len| Bytes::from(vec![7; len]));
    let (_, _, _back, mut there) = a.seen.wait("stream", |seen| seen.streams.pop()).await;
    let writing = async {
        send.write_frame(pieces.to_vec()).await.expect("write");
        send.write_frame(vec![Bytes::from_static(b"next")])
            .await
            .expect("write");
        send.finish();
    };
    let reading = async {
        assert_eq!(there.announced(1 << 20).await, Ok(Some(300_013)));
        there.enter_frame();
        for piece in &pieces {
            let read = there.read_piece(piece.len()).await.expect("read");
            assert!(read == *piece);
            assert_eq!(read.capacity(), read.len(), "nothing is reserved in vain");
        }
        let next = there.read_frame(100).await;
        assert_eq!(next, Ok(Some(Bytes::from_static(b"next"))));
        assert_eq!(there.read_piece(1).await, Err(StreamError::Truncated));
    };
    tokio::join!(writing, reading);
}

#[tokio::test]
async fn a_dropped_stream_is_broken_off_and_not_ended() {
    let (a, _b, to_a) = pair(quick()).await;
    let opened = to_a.open_stream(CallId(7), StreamFor::Reply).await;
    let (mut send, recv) = opened.expect("a stream");
    send.write_frame(vec![Bytes::from_static(b"part")])
        .await
        .expect("write");
    let (_, purpose, mut back, mut there) = a.seen.wait("stream", |seen| seen.streams.pop()).await;
    assert_eq!(purpose, StreamFor::Reply);
    assert_eq!(
        there.read_frame(100).await,
        Ok(Some(Bytes::from_static(b"part")))
    );
    drop(send);
    assert_eq!(
        there.read_frame(100).await,
        Err(StreamError::Reset(Code::StreamBroken))
    );
    drop(recv);
    assert_eq!(back.ended_by_reader().await, Ok(Some(Code::StreamBroken)));
    let stopped = back.write_frame(vec![Bytes::from_static(b"x")]).await;
    assert_eq!(stopped, Err(StreamError::Stopped(Code::StreamBroken)));
    back.reset(Code::StreamBroken);
}

#[tokio::test]
async fn a_stream_that_a_stopping_node_drops_says_so() {
    let (a, b, to_a) = pair(quick()).await;
    let opened = to_a.open_stream(CallId(7), StreamFor::Reply).await;
    let (send, _recv) = opened.expect("a stream");
    let (_, _, _back, mut there) = a.seen.wait("stream", |seen| seen.streams.pop()).await;
    b.net.leave().await;
    drop(send);
    let error = there.read_frame(100).await.expect_err("dropped");
    assert_eq!(error, StreamError::Reset(Code::NodeStopping));
    assert_eq!(
        error.to_string(),
        "the writer gave up before its end: its node is stopping"
    );
}

#[tokio::test]
async fn a_panic_while_a_frame_is_taken_closes_the_link() {
    let (a, b, to_a) = pair(quick()).await;
    a.seen.panic_on(b"poison");
    to_a.append(0, |out| put(out, b"poison")).expect("room");
    assert_eq!(a.seen.down().await.code, Code::PeerLost);
    let why = b.seen.down().await;
    assert!(why.detail.contains("panicked"), "{why}");
}

#[tokio::test]
async fn what_a_peer_has_sent_counts_no_more_once_it_is_denied() {
    let (a, _b, to_a) = pair(quick()).await;
    let from_b = a.seen.linked("b").await;
    // The lane pauses after its first piece; the rest waits in its stream.
    a.seen.look(|seen| seen.heavy = true);
    let sent = 32;
    for _ in 0..sent {
        let appended = to_a.append(0, |out| put(out, &[7; 30 << 10]));
        appended.expect("room");
    }
    let frames = |seen: &Seen| {
        let is_frame = |event: &&Event| matches!(event, Event::Frame { .. });
        seen.events.iter().filter(is_frame).count()
    };
    let came = || from_b.connection.stats().udp_rx.bytes > sent * (30 << 10);
    tokio::time::timeout(PATIENCE, async {
        while !came() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("all of it comes");
    a.net.deny(DenyList::of(["b"]).expect("a list"));
    let before = a.seen.look(|seen| frames(seen));
    assert_eq!(a.seen.down().await.code, Code::PeerDenied);
    assert_eq!(a.seen.look(|seen| frames(seen)), before);
}
