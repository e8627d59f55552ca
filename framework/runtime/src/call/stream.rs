//! Streams of calls: [`Inbound`] is what a handler reads from its caller, [`Streaming`] what a
//! caller reads from the handler. Both are flow-controlled: a slow reader makes the writer wait.
//!
//! On the wire a streamed call has a QUIC stream of its own, in each direction a sequence of
//! `protocol::wire::stream` frames: items, then the end or an error. In one process the same pieces go through a bounded
//! channel. Either way a sequence that stops before its end reads as `StreamBroken`.

use std::{
    fmt,
    future::{Future, pending, poll_fn},
    panic::AssertUnwindSafe,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use callboard_protocol::{
    code::{CallError, Code},
    wire::{ShapeInfo, Wire, stream::StreamFrame},
};
use futures_core::Stream;
use futures_util::{
    FutureExt, StreamExt,
    future::{Either, select},
    stream,
};
use tokio::{
    sync::{mpsc, oneshot},
    task::unconstrained,
};

use crate::net::SendStream;

use super::{
    codec::{self, Encoding},
    face::FaceMethod,
    hub::Hub,
    inflow::Inflow,
    interface::MethodSpec,
    panics::Witness,
    port::panic_text,
    term::Term,
};

type Items<T> = Pin<Box<dyn Stream<Item = Result<T, CallError>> + Send>>;

/// The streamed argument of a handler: the items its caller sends.
///
/// Yields `Ok(item)` for each item in the order sent, then ends. When the caller is lost or drops
/// the call, one `Err(StreamBroken)` comes last.
///
/// # Cancel safety
/// Dropping it tells the sender that nothing more is wanted. `next()` may be dropped and called
/// again without losing an item.
pub struct Inbound<T>(Items<T>);

/// The streamed reply of a call: the items its handler yields.
///
/// Yields `Ok(item)` for each item in the order produced, then ends. A handler that panics gives
/// one last `Err(Panicked)`; an actor that stops or a peer that is lost, `Err(StreamBroken)`; the
/// deadline of the call, `Err(DeadlineExceeded)`, also when items are there that were not read.
///
/// # Cancel safety
/// Dropping it drops the handler's stream. `next()` may be dropped and called again without losing
/// an item.
pub struct Streaming<T> {
    items: Items<T>,
    /// Held for the streamed argument of the same call: that one breaks when this is dropped.
    alive: Option<oneshot::Sender<()>>,
    /// Nothing once it has ended, or if its call has no deadline.
    term: Option<Term>,
}

impl<T> Streaming<T> {
    /// Looks at the items, however many the task has had without a pause.
    fn poll_unconstrained(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<T, CallError>>> {
        pin!(unconstrained(self.items.next())).poll(cx)
    }
}

/// What travels in a stream.
#[derive(Debug)]
pub(crate) enum Piece<T> {
    Item(T),
    End,
    Failed(CallError),
}

/// The writing end of a stream.
pub(crate) trait PieceSink<T>: Send {
    /// Waits for room and sends; returns false when the reader is gone.
    fn put(&mut self, piece: Piece<T>) -> impl Future<Output = bool> + Send;
    /// Ends when the reader is gone.
    fn gone(&mut self) -> impl Future<Output = ()> + Send;
    /// Ends when the reader's node has all that was put, or the reader is gone.
    fn taken(&mut self) -> impl Future<Output = ()> + Send;
}

impl<T> Inbound<T> {
    /// Waits for the next item. Nothing comes after the last one.
    ///
    /// # Errors
    /// `StreamBroken` when the caller is lost or drops the call.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, no item is lost.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is awaited, as `StreamExt::next` is"
    )]
    pub fn next(
        &mut self,
    ) -> impl Future<Output = Option<Result<T, CallError>>> + Send + Unpin + use<'_, T> {
        next(&mut self.0)
    }
}

impl<T: Send + 'static> Inbound<T> {
    /// Returns a stream without items.
    #[must_use]
    pub fn ended() -> Self {
        Self(Box::pin(stream::empty()))
    }

    /// Returns a stream of the given items, as the argument of a unit test.
    #[must_use]
    pub fn test<I>(items: I) -> Self
    where
        I: IntoIterator<Item = T>,
        I::IntoIter: Send + 'static,
    {
        Self(Box::pin(stream::iter(items).map(Ok)))
    }

    /// Wraps the caller's own stream; `alive` breaks when the caller drops the call.
    pub(crate) fn local<S>(
        items: S,
        alive: Option<oneshot::Receiver<()>>,
        spec: &'static MethodSpec,
    ) -> Self
    where
        S: Stream<Item = T> + Send + 'static,
    {
        let Some(alive) = alive else {
            return Self(Box::pin(items.map(Ok)));
        };
        let broken = stream::once(alive.map(move |_| {
            Err(spec
                .error(Code::StreamBroken)
                .with_detail("the caller dropped the call"))
        }));
        let ended = Piece::<T>::End;
        let items = items.map(Piece::Item).chain(stream::once(async { ended }));
        let merged = stream::select_with_strategy(
            broken.map(Some),
            items.map(|piece| match piece {
                Piece::Item(item) => Some(Ok(item)),
                Piece::End | Piece::Failed(_) => None,
            }),
            |(): &mut ()| stream::PollNext::Left,
        );
        Self(Box::pin(end_after_error(merged)))
    }
}

impl<T: Wire> Inbound<T> {
    pub(crate) fn remote<F>(frames: F, hub: Arc<Hub>, method: &FaceMethod) -> Self
    where
        F: Future<Output = Option<Inflow>> + Send + 'static,
    {
        Self(remote_items(
            frames,
            method.shapes.inbound,
            hub,
            method.spec,
        ))
    }
}

impl<T: Wire> Streaming<T> {
    pub(crate) fn remote(frames: Inflow, hub: Arc<Hub>, method: &FaceMethod) -> Self {
        let shape = method.shapes.reply;
        let items = remote_items(async move { Some(frames) }, shape, hub, method.spec);
        Self {
            items,
            alive: None,
            term: None,
        }
    }

    pub(crate) fn keep_alive(mut self, alive: Option<oneshot::Sender<()>>) -> Self {
        self.alive = alive;
        self
    }
}

impl<T> Streaming<T> {
    /// Waits for the next item. Nothing comes after the last one.
    ///
    /// # Errors
    /// `Panicked`, `StreamBroken` and `DeadlineExceeded`, as the last item: see the type.
    ///
    /// # Cancel safety
    /// Dropped before it is ready, no item is lost.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is awaited, as `StreamExt::next` is"
    )]
    pub fn next(
        &mut self,
    ) -> impl Future<Output = Option<Result<T, CallError>>> + Send + Unpin + use<'_, T> {
        next(self)
    }

    pub(super) fn until(mut self, term: Option<Term>) -> Self {
        self.term = term;
        self
    }
}

/// A stream that a caller hands to a handler with an `Inbound<T>`: every [`Stream`] is one.
#[diagnostic::on_unimplemented(
    message = "`{Self}` is no stream, and an `Inbound` is sent as one",
    label = "not a stream",
    note = "make one of values that are there: `futures_util::stream::iter(vec![1, 2, 3])`, after `cargo add futures-util`",
    note = "of a channel, `futures_util::stream::unfold` or a wrapper such as `tokio_stream`'s `ReceiverStream` makes one"
)]
pub trait StreamOf: Stream {}

#[diagnostic::do_not_recommend]
impl<S: Stream + ?Sized> StreamOf for S {}

impl<T> Stream for Inbound<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl<T> Stream for Streaming<T> {
    type Item = Result<T, CallError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        // BEFORE the items, some of which may be there for as long as somebody writes.
        if let Some(Poll::Ready(error)) = this.term.as_mut().map(|term| term.poll(cx)) {
            // What came before this node has stopped is there, and so may the end be.
            if error.code() == Code::StreamBroken
                && let Poll::Ready(there @ (Some(Ok(_)) | None)) = this.poll_unconstrained(cx)
            {
                return Poll::Ready(there);
            }
            // The call is over on both sides, whatever becomes of this value.
            (this.term, this.alive) = (None, None);
            this.items = Box::pin(stream::poll_fn(|_| Poll::Ready(None)));
            return Poll::Ready(Some(Err(error)));
        }
        let mut item = ready!(this.items.as_mut().poll_next(cx));
        if let Some(Ok(_)) = item {
            return Poll::Ready(item);
        }
        if let (Some(term), Some(Err(error))) = (this.term.take(), &mut item)
            && match error.code() {
                // The host looked at its clock first, and knows less.
                Code::DeadlineExceeded => true,
                // And had no room left to say so.
                Code::StreamBroken => term.is_past(),
                _ => false,
            }
        {
            *error = term.error();
        }
        Poll::Ready(item)
    }
}

/// Waits for the next item of a stream. It is not `StreamExt::next` only in that it gives no type of
/// another crate's to who reads with it.
fn next<S: Stream + Send + Unpin>(
    stream: &mut S,
) -> impl Future<Output = Option<S::Item>> + Send + Unpin + use<'_, S> {
    poll_fn(move |cx| Pin::new(&mut *stream).poll_next(cx))
}

impl<T> fmt::Debug for Inbound<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Inbound")
    }
}

impl<T> fmt::Debug for Streaming<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streaming")
            .field("carries_arguments", &self.alive.is_some())
            .finish()
    }
}

/// Connects a handler's stream with its caller in this process: what the caller reads, and the
/// future that moves the items.
pub(crate) fn local_pair<T, S>(
    items: S,
    spec: &'static MethodSpec,
    term: Option<Term>,
    witness: Option<Witness>,
) -> (Streaming<T>, impl Future<Output = ()> + Send + 'static)
where
    T: Send + 'static,
    S: Stream<Item = T> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(LOCAL_ITEMS_MAX);
    let pieces = stream::unfold(
        receiver,
        |mut receiver: mpsc::Receiver<Piece<T>>| async move {
            receiver.recv().await.map(|piece| (piece, receiver))
        },
    );
    (
        Streaming {
            items: until_end(pieces, spec),
            alive: None,
            term: None,
        },
        pump(items, LocalSink(sender), spec, term, witness),
    )
}

/// Moves the items of `items` to `sink` until either side ends, or the call's term does. `witness` knows what the log
/// is told if they panic; a caller's own items have none.
pub(crate) async fn pump<T, S, K>(
    items: S,
    mut sink: K,
    spec: &'static MethodSpec,
    term: Option<Term>,
    witness: Option<Witness>,
) where
    T: Send,
    S: Stream<Item = T> + Send,
    K: PieceSink<T>,
{
    let mut items = pin!(Some(items));
    let mut over = pin!(async {
        match &term {
            Some(term) => term.over().await,
            None => pending().await,
        }
    });
    while let Some(flowing) = items.as_mut().as_pin_mut() {
        let (piece, last) = match next_piece(flowing, &mut sink, over.as_mut()).await {
            Next::Piece(piece) => (piece, false),
            Next::Last => (Piece::End, true),
            Next::Panicked(text) => {
                if let Some(witness) = &witness {
                    witness.tell(&text);
                }
                let error = match &term {
                    Some(term) => term.error_here(Code::Panicked),
                    None => spec.error(Code::Panicked),
                };
                let detail = format!("{text}; {AFTER_PANIC}");
                (Piece::Failed(error.with_detail(detail)), true)
            }
            Next::Gone => return,
            Next::Over(error) => {
                items.set(None);
                let told = sink.put(Piece::Failed(error));
                let _ = tokio::time::timeout(LAST_WORD_MAX, told).await;
                return;
            }
        };
        let goes_on = match select(over.as_mut(), pin!(sink.put(piece))).await {
            Either::Right((goes_on, _)) => goes_on && !last,
            Either::Left((_, put)) => {
                // The reader is slow, and finds by itself that the call is over. A stream that is cut
                // before would look broken to it.
                items.set(None);
                let _ = tokio::time::timeout(LAST_WORD_MAX, put).await;
                return;
            }
        };
        if !goes_on {
            // Until then it is under way: a node that stops would close its links before.
            let _ = select(over.as_mut(), pin!(sink.taken())).await;
            return;
        }
    }
}

/// What comes of a panic of a stream that a handler has returned.
pub(super) const AFTER_PANIC: &str = "the stream ends, and whose it is goes on";

/// What a pump does next.
enum Next<T> {
    Piece(Piece<T>),
    Last,
    /// With the text of the panic.
    Panicked(String),
    /// The reader is gone.
    Gone,
    /// The call's deadline has come.
    Over(CallError),
}

async fn next_piece<T: Send, S: Stream<Item = T> + Send>(
    mut items: Pin<&mut S>,
    sink: &mut impl PieceSink<T>,
    over: Pin<&mut impl Future<Output = CallError>>,
) -> Next<T> {
    let next = pin!(AssertUnwindSafe(items.next()).catch_unwind());
    match select(over, select(next, pin!(sink.gone()))).await {
        Either::Left((error, _)) => Next::Over(error),
        Either::Right((Either::Right(_), _)) => Next::Gone,
        Either::Right((Either::Left((next, _)), _)) => match next {
            Ok(Some(item)) => Next::Piece(Piece::Item(item)),
            Ok(None) => Next::Last,
            Err(panic) => Next::Panicked(panic_text(&*panic)),
        },
    }
}

struct LocalSink<T>(mpsc::Sender<Piece<T>>);

impl<T: Send> PieceSink<T> for LocalSink<T> {
    async fn put(&mut self, piece: Piece<T>) -> bool {
        self.0.send(piece).await.is_ok()
    }

    async fn gone(&mut self) {
        self.0.closed().await;
    }

    /// What was put can be read, also once this is dropped.
    async fn taken(&mut self) {}
}

/// Writes pieces to a QUIC stream.
#[derive(Debug)]
pub(crate) struct RemoteSink {
    frames: SendStream,
    item_bytes_max: usize,
    spec: &'static MethodSpec,
}

impl RemoteSink {
    pub(crate) fn new(
        frames: SendStream,
        item_bytes_max: usize,
        spec: &'static MethodSpec,
    ) -> Self {
        Self {
            frames,
            item_bytes_max,
            spec,
        }
    }
}

impl<T: Wire> PieceSink<T> for RemoteSink {
    async fn put(&mut self, piece: Piece<T>) -> bool {
        let mut bytes = Vec::new();
        let last = match piece {
            Piece::Item(item) => {
                StreamFrame::Item(&[]).encode(&mut bytes);
                match codec::encode_item(&item, &mut bytes, self.item_bytes_max, self.spec) {
                    Ok(()) => false,
                    Err(error) => {
                        // The item cannot travel: the reader hears why.
                        bytes.clear();
                        StreamFrame::Failed(error).encode(&mut bytes);
                        true
                    }
                }
            }
            Piece::End => {
                StreamFrame::End.encode(&mut bytes);
                true
            }
            Piece::Failed(error) => {
                StreamFrame::Failed(error).encode(&mut bytes);
                true
            }
        };
        let written = self.frames.write_frame(vec![bytes.into()]).await.is_ok();
        if last {
            self.frames.finish();
        }
        written && !last
    }

    async fn gone(&mut self) {
        // Either the reader gave up, or the link is down.
        let _ = self.frames.ended_by_reader().await;
    }

    async fn taken(&mut self) {
        <Self as PieceSink<T>>::gone(self).await;
    }
}

fn remote_items<T, F>(
    frames: F,
    shape: ShapeInfo,
    hub: Arc<Hub>,
    spec: &'static MethodSpec,
) -> Items<T>
where
    T: Wire,
    F: Future<Output = Option<Inflow>> + Send + 'static,
{
    let pieces = stream::once(frames)
        .filter_map(std::future::ready)
        .flat_map(move |frames| {
            let hub = hub.clone();
            stream::unfold(frames, move |mut frames| {
                let hub = hub.clone();
                async move {
                    let decode =
                        |body: &[u8]| codec::decode_item(Encoding::Lent(body), shape, &hub, spec);
                    let piece = match frames.item(&hub).await {
                        Ok(item) => read_piece(&item?.frame, decode, spec),
                        Err(why) => {
                            let broken = spec.error(Code::StreamBroken);
                            Piece::Failed(broken.with_detail(why.to_string()))
                        }
                    };
                    Some((piece, frames))
                }
            })
        });
    until_end(pieces, spec)
}

fn read_piece<T: Wire>(
    bytes: &[u8],
    decode: impl FnOnce(&[u8]) -> Result<T, CallError>,
    spec: &'static MethodSpec,
) -> Piece<T> {
    match StreamFrame::decode(bytes) {
        Ok(StreamFrame::Item(body)) => decode(body).map_or_else(Piece::Failed, Piece::Item),
        Ok(StreamFrame::End) => Piece::End,
        Ok(StreamFrame::Failed(error)) => Piece::Failed(error),
        Ok(_) => Piece::Failed(
            spec.error(Code::ReplyUndecodable)
                .with_detail("not an item"),
        ),
        Err(error) => Piece::Failed(
            spec.error(Code::ReplyUndecodable)
                .with_detail(error.to_string()),
        ),
    }
}

/// Turns pieces into items; pieces that stop before the end give `StreamBroken`.
fn until_end<T, S>(pieces: S, spec: &'static MethodSpec) -> Items<T>
where
    T: Send + 'static,
    S: Stream<Item = Piece<T>> + Send + 'static,
{
    let cut = stream::once(async move { Piece::Failed(spec.error(Code::StreamBroken)) });
    Box::pin(end_after_error(pieces.chain(cut).map(
        |piece| match piece {
            Piece::Item(item) => Some(Ok(item)),
            Piece::End => None,
            Piece::Failed(error) => Some(Err(error)),
        },
    )))
}

/// Ends at the first `None` or after the first error.
fn end_after_error<T, S>(items: S) -> impl Stream<Item = Result<T, CallError>> + Send
where
    T: Send,
    S: Stream<Item = Option<Result<T, CallError>>> + Send,
{
    items.scan(false, |failed, item| {
        let next = if *failed { None } else { item };
        *failed = matches!(next, Some(Err(_)));
        std::future::ready(next)
    })
}

/// How long a host tries to tell the reader that the call is over, after it has dropped the stream.
const LAST_WORD_MAX: Duration = Duration::from_secs(1);

/// Items of a local stream that wait for their reader.
const LOCAL_ITEMS_MAX: usize = 16;
