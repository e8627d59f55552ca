//! A chat: what each guest says streams in, what everybody says streams out, and the ref of the
//! room travels in a message.
//!
//! ```text
//! cargo run --example chat                                             three guests in one process
//! cargo run --example chat -- --listen 127.0.0.1:4100                  or: terminal 1, the host
//! cargo run --example chat -- --join 127.0.0.1:4100 --name Ada         terminal 2 and more, guests
//! ```

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use callboard::prelude::*;
use callboard_examples::flags;
use clap::Parser;
use futures_util::stream;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::sync::{broadcast, mpsc};

/// Talks in a room: a host, its guests, or a short scene with both.
#[derive(Debug, Parser)]
#[command(name = "chat")]
struct Args {
    /// Host the chat here until Ctrl-C
    #[arg(long, value_name = "ADDR", conflicts_with = "join", value_parser = flags::address)]
    listen: Option<SocketAddr>,
    /// Be a guest of the host there: what you type is said, the end of the input leaves
    #[arg(long, value_name = "ADDR", value_parser = flags::address)]
    join: Option<SocketAddr>,
    /// Your name as a guest
    #[arg(long, default_value = "Ada")]
    name: String,
}

// ANCHOR: hall
/// Knows the rooms by name. A caller gets a ref, and can hand it on.
#[derive(Default, Service)]
struct Hall {
    rooms: Mutex<BTreeMap<String, RoomRef>>,
}

#[handlers]
impl Hall {
    /// Returns the room of that name; it is spawned when somebody first asks for it.
    pub async fn room(&self, ctx: &Ctx<Self>, name: String) -> RoomRef {
        let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
        rooms
            .entry(name)
            .or_insert_with(|| ctx.spawn::<Room>())
            .clone()
    }
}
// ANCHOR_END: hall

// ANCHOR: room
/// Passes on what is said in it to everybody who listens.
#[derive(Actor)]
struct Room {
    said: broadcast::Sender<Line>,
}

/// Something that somebody said.
#[derive(Clone, Debug, Wire)]
struct Line {
    who: String,
    text: String,
}

impl Default for Room {
    fn default() -> Self {
        // A guest that does not keep up loses the oldest of these, and the room waits for nobody.
        Self {
            said: broadcast::Sender::new(256),
        }
    }
}

#[handlers]
impl Room {
    /// Takes part: says what comes in, hears what everybody says. Leaves when `lines` ends, which is
    /// up to the guest: the call has no deadline.
    #[handler(timeout = "none")]
    pub fn talk(&self, who: String, lines: Inbound<String>) -> impl Stream<Item = Line> + use<> {
        let guest = Guest {
            who,
            lines,
            talks: true,
            heard: self.said.subscribe(),
            room: self.said.clone(),
        };
        guest.say(COMES_IN);
        stream::unfold(guest, |mut guest| async move {
            let line = guest.next().await?;
            Some((line, guest))
        })
    }
}
// ANCHOR_END: room

// ANCHOR: guest_in_the_room
/// One guest, as the room has it: its own lines go into the room as they come, the room's lines
/// come out.
struct Guest {
    who: String,
    lines: Inbound<String>,
    /// Whether it may still say something.
    talks: bool,
    heard: broadcast::Receiver<Line>,
    room: broadcast::Sender<Line>,
}

impl Guest {
    fn say(&self, text: &str) {
        // Nobody listens when everybody has left; that is no error.
        let _ = self.room.send(Line {
            who: self.who.clone(),
            text: text.to_owned(),
        });
    }

    /// The next line to hear; none when this guest has left and heard its own goodbye.
    async fn next(&mut self) -> Option<Line> {
        loop {
            // Both branches are cancel safe: a line that is not taken stays where it is.
            tokio::select! {
                line = self.lines.next(), if self.talks => match line {
                    Some(Ok(text)) => self.say(&text),
                    _ => {
                        self.talks = false;
                        self.say(GOODBYE);
                    }
                },
                line = self.heard.recv() => match line {
                    Ok(line) if self.is_own_goodbye(&line) => return None,
                    Ok(line) => return Some(line),
                    // Lines were lost on a guest that does not keep up.
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => return None,
                },
            }
        }
    }

    fn is_own_goodbye(&self, line: &Line) -> bool {
        !self.talks && line.who == self.who && line.text == GOODBYE
    }
}

const COMES_IN: &str = "(comes in)";
const GOODBYE: &str = "(leaves)";
// ANCHOR_END: guest_in_the_room

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let args = Args::parse();
    match (args.listen, args.join) {
        (Some(listen), _) => host(listen).await,
        (None, Some(join)) => {
            let client = Client::connect(join).await?;
            let heard = come_in(&client, &args.name, typed()).await?;
            listen(&args.name, heard, |_| {}).await?;
            client.close().await;
            Ok(())
        }
        (None, None) => scene().await,
    }
}

async fn host(listen: SocketAddr) -> Result<(), Box<dyn Error>> {
    let node = Node::builder()
        .name("hall")
        .listen(listen)
        .host::<Hall>()
        .start()
        .await?;
    println!(
        "the hall is open at {}; Ctrl-C closes it",
        node.local_addr()
    );
    tokio::signal::ctrl_c().await?;
    println!("closing, once all have left or after 10 s; Ctrl-C again closes at once");
    tokio::select! {
        () = node.stop() => Ok(()),
        again = tokio::signal::ctrl_c() => again.map(|()| std::process::exit(INTERRUPTED))?,
    }
}

/// What a shell says of a program that Ctrl-C has ended.
const INTERRUPTED: i32 = 130;

// ANCHOR: guest
/// Comes into the lobby with the lines that this guest will say; returns what it will hear.
async fn come_in(
    client: &Client,
    name: &str,
    lines: impl Stream<Item = String> + Send + 'static,
) -> Result<Streaming<Line>, CallError> {
    let room = client.service::<Hall>().room("lobby").await?;
    room.talk(name, lines).await
}

/// Prints what a guest hears until it has left.
async fn listen(
    name: &str,
    mut heard: Streaming<Line>,
    mut react: impl FnMut(&Line),
) -> Result<(), CallError> {
    while let Some(line) = heard.next().await {
        let line = line?;
        println!("[{name:>5} hears] {}: {}", line.who, line.text);
        react(&line);
    }
    Ok(())
}
// ANCHOR_END: guest

/// What is typed, line by line.
fn typed() -> impl Stream<Item = String> + Send + 'static {
    let lines = BufReader::new(tokio::io::stdin()).lines();
    stream::unfold(lines, |mut lines| async move {
        let line = lines.next_line().await.ok().flatten()?;
        Some((line, lines))
    })
}

/// A hall and three guests, each with a link of its own, in one process.
async fn scene() -> Result<(), Box<dyn Error>> {
    let node = Node::builder().name("hall").host::<Hall>().start().await?;
    let mut guests = Vec::new();
    for name in ["Ada", "Bob", "Cleo"] {
        let client = Client::connect(node.local_addr()).await?;
        let (say, said) = mpsc::channel(1);
        let heard = come_in(&client, name, spoken(said)).await?;
        guests.push(async move {
            let mut say = Some(say);
            listen(name, heard, |line| play(name, line, &mut say)).await?;
            client.close().await;
            Ok::<(), CallError>(())
        });
    }
    futures_util::future::try_join_all(guests).await?;
    node.stop().await;
    Ok(())
}

/// Says the guest's line if what it heard is its cue. After the last one everybody leaves.
fn play(name: &str, heard: &Line, say: &mut Option<mpsc::Sender<String>>) {
    let is_cue = |(cue, who, _): &&(&str, &str, &str)| *cue == heard.text && *who == name;
    let started = heard.who == "Cleo" || heard.text != COMES_IN;
    if let Some((_, _, text)) = SCENE.iter().find(is_cue).filter(|_| started)
        && let Some(say) = say
    {
        // There is room: a guest has one line.
        let _ = say.try_send((*text).to_owned());
    }
    if heard.text == LAST {
        *say = None;
    }
}

fn spoken(said: mpsc::Receiver<String>) -> impl Stream<Item = String> + Send + 'static {
    stream::unfold(said, |mut said| async move {
        let line = said.recv().await?;
        Some((line, said))
    })
}

/// On which cue who says what.
const SCENE: [(&str, &str, &str); 3] = [
    (COMES_IN, "Ada", "is the engine ready?"),
    (
        "is the engine ready?",
        "Bob",
        "nearly; the last card is missing",
    ),
    ("nearly; the last card is missing", "Cleo", LAST),
];
const LAST: &str = "I have brought it";
